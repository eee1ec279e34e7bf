"""`outcrop tls`: make the local authority and its certificate, and say where they are."""

from __future__ import annotations

import click

from outcrop.cli.options import output_option, print_record, settings_options
from outcrop.config import Loaded


@click.command(
    help="Make (or renew) the local certificate authority and its certificate, and show the files."
)
@click.option(
    "--name", "names", multiple=True, help="A further name or address of this machine; may be repeated."
)
@output_option
@settings_options()
def tls(loaded: Loaded, names: tuple[str, ...], output: str) -> None:
    """`outcrop serve --tls` does the same by itself."""
    from outcrop import tls as material

    files = material.ensure(loaded.settings.data.folder, (*loaded.settings.server.tls_names, *names))
    certificate = material.examine(files)
    rows = {
        "authority": str(files.ca),
        "certificate": str(files.certificate),
        "key": str(files.key),
        "bundle": str(files.bundle),
        "names": ", ".join(certificate.names),
        "expires": f"{certificate.expires:%Y-%m-%d}",
    }
    print_record(rows, output)
    if output == "json":
        return
    click.echo('\nClients trust it by: eval "$(outcrop env --tls)"')
    if names:
        click.echo("To keep these names when it is renewed, set tls_names under [server] in outcrop.toml.")
