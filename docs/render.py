"""Draws the reference pages from what they describe: operations, refusals, settings, commands.

    python docs/render.py        writes operations.md, refusals.md, configuration.md and cli.md beside this

A test fails when a page is not what this draws, so whoever changes a table runs this and commits both.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]  # the rows of refusals are the tests' own

from clients.refusals import SECTIONS  # noqa: E402
from outcrop import config, errors  # noqa: E402
from outcrop.cli.group import ABOUT, COMMANDS, outcrop  # noqa: E402
from outcrop.config import Placed, Setting, Settings  # noqa: E402
from outcrop.errors import Fault  # noqa: E402
from outcrop.wire import sts  # noqa: E402
from outcrop.wire.operations import MIB, OPERATIONS, Operation  # noqa: E402

DRAWN = "<!-- Drawn by docs/render.py from the code. Change that, and run it. -->\n"

# What a person should know of each operation, beyond AWS's own reference.
NOTES = {
    "InvokeModel": "A Messages body with `anthropic_version`; both values in use are taken, "
    "`bedrock-2023-05-31` and `2026-10-21`. The token counts are in headers too.",
    "InvokeModelWithResponseStream": "Messages events in `chunk` frames, "
    "the last with the invocation's metrics.",
    "Converse": "Translated to Messages, and back.",
    "ConverseStream": "As Converse, event by event.",
    "CountTokens": "Takes a bare id or its ARN, as AWS does, never a profile. The scripted engine estimates.",
    "ListFoundationModels": "All four filters; `byProvider` in any case. Lists what the call's region has.",
    "GetFoundationModel": "By id or ARN.",
    "ListInferenceProfiles": "Pages and `type`; the account's own profiles too.",
    "GetInferenceProfile": "By id or ARN.",
    "CreateInferenceProfile": "From a model's or a system profile's ARN, with tags and a client token.",
    "DeleteInferenceProfile": "By id or ARN, an application profile only.",
    "TagResource": "Of application profiles, up to 200 tags.",
    "UntagResource": "Of application profiles.",
    "ListTagsForResource": "Of application profiles.",
    "ListFoundationModelAgreementOffers": "One offer a model, with Bedrock's prices in the call's region.",
    "CreateFoundationModelAgreement": "Gives the account the model: [access.md](access.md).",
    "DeleteFoundationModelAgreement": "Where access is open, the next call makes it anew, as at AWS.",
    "GetFoundationModelAvailability": "How the account stands with a model.",
    "PutUseCaseForModelAccess": "The use-case form, once an account; its fields are checked.",
    "GetUseCaseForModelAccess": "The form as it was put.",
    "GetCallerIdentity": "Whoever signed.",
    "GetSessionToken": "Temporary credentials, 15 minutes to 36 hours.",
    "AssumeRole": "A role's session, 15 minutes to the role's longest (an hour where a role assumes a role), "
    "with `ExternalId` and `Policy`. No tags, no managed policies, no source identity.",
}

SECTION_NAMES = {
    ("server",): "server",
    ("bedrock",): "bedrock",
    ("engine",): "engine",
    ("engine", "local"): "engine.local",
    ("engine", "messages"): "engine.messages",
    ("engine", "scripted"): "engine.scripted",
    ("engines", "<name>"): "engines.<name>",
    ("data",): "data",
}


def pages() -> dict[str, str]:
    """Each page's text by the name of its file."""
    drawn = {
        "operations.md": _operations(),
        "refusals.md": _refusals(),
        "configuration.md": _configuration(),
        "cli.md": _cli(),
    }
    return {name: "\n".join(lines).rstrip() + "\n" for name, lines in drawn.items()}


def _table(titles: list[str], rows: list[list[str]]) -> Iterator[str]:
    for row in (titles, ["---"] * len(titles), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    """A code span, whatever backticks are in it."""
    if not text:
        return ""
    return _cell(f"`` {text} ``" if "`" in text else f"`{text}`")


def _size(size: int) -> str:
    return f"{size // MIB} MiB" if size % MIB == 0 else f"{size:,} bytes"


# --- operations ---


def _operations() -> Iterator[str]:
    yield DRAWN
    yield "# Operations\n"
    yield """\
What the endpoint answers. Everything else that Bedrock has gets AWS's `UnknownOperationException`. All
services share one address: the path tells them apart, and STS is any `POST /`.
"""
    rows = [_operation(operation) for operation in OPERATIONS]
    yield from _table(["operation", "service", "request", "largest body", "here"], rows)
    yield """\
A model may be named in any of AWS's spellings: by its id or a profile's id, by the ARN of either, with `:`
and `/` encoded or not. Every reply has `x-amzn-requestid`, and those of the runtime operations
`x-outcrop-engine`: which engine answered, `local/SmolLM2-135M-Instruct` for example.

What is refused, and in which words: [refusals.md](refusals.md).
"""


def _operation(operation: Operation) -> list[str]:
    request = f"`{operation.method} {operation.path}`"
    return [
        operation.name,
        operation.service,
        request,
        _size(operation.body_limit),
        NOTES[operation.name],
    ]


# --- refusals ---


def _refusals() -> Iterator[str]:
    count = sum(len(section.rows) for section in SECTIONS)
    yield DRAWN
    yield "# Refusals\n"
    yield f"{count} requests that are refused, with the status, the error's name and its text on the wire."
    yield """\
A test sends every one to a running endpoint (`tests/clients/test_refusals.py`), and a choice of them through
boto3, the AWS CLI and both Anthropic SDKs. `…` stands for what differs from one request to the next: a
moment, a digest.

Where a text comes from (recorded traffic, AWS's documents, users' reports) stands beside it in the code. Some
of AWS's wordings are known to nobody outside; there the name and status are AWS's.
"""
    yield "- [Errors](#errors)"
    for section in SECTIONS:
        anchor = section.title.lower().replace(":", "").replace(" ", "-")
        yield f"- [{section.title}](#{anchor})"
    yield "\n## Errors\n"
    yield """\
Every error there is. The AWS SDKs try again by themselves where it says so. Inside a stream an error is one
exception frame with the name in lowerCamel, and the stream ends with it.
"""
    yield from _table(
        ["error", "status", "at STS", "tried again", "meaning"], [_error(fault) for fault in faults()]
    )
    for section in SECTIONS:
        yield f"## {section.title}\n"
        if section.about:
            yield f"{section.about}\n"
        rows = [[_cell(row.title), str(row.status), row.name, _code(row.text)] for row in section.rows]
        yield from _table(["what was wrong", "status", "error", "text"], rows)


def faults() -> list[type[Fault]]:
    """Every error the wire can carry, in the order of errors.py."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Fault)]
    return [kind for kind in kinds if kind not in (Fault, errors.AuthFault)]


def _error(kind: type[Fault]) -> list[str]:
    fault = kind("")
    code = sts.code_of(fault)[0]
    meaning = (kind.__doc__ or "").partition("\n")[0]
    name = kind.__name__ if kind.__name__ == fault.name else f"{fault.name} ({kind.__name__} in the code)"
    return [
        name,
        str(fault.status),
        code if code != fault.name else "",
        "yes" if fault.retryable else "",
        meaning,
    ]


# --- configuration ---


def _configuration() -> Iterator[str]:
    flags = _flags()
    yield DRAWN
    yield "# Configuration\n"
    yield """\
Nothing needs to be configured. What is set comes from, the strongest first:

1. a flag of the command;
2. an environment variable, `OUTCROP_<SECTION>__<KEY>`;
3. `outcrop.toml`: the file that `--config` or `OUTCROP_CONFIG` names, else the one in the current folder,
   else the one in your configuration folder (`~/.config/outcrop/` on Linux);
4. the default.

A mistake is told with its line and what to do about it, and the command ends with exit code 78.
`outcrop config check` lists all mistakes, `outcrop config show` every value and where it came from.
"""
    yield "```toml"
    yield EXAMPLE.strip()
    yield "```\n"
    yield """\
A path in the file is relative to the file. A secret never stands in the file: write `env:NAME` or
`file:/path`. In an environment variable a list is written with commas, a table as TOML:
`OUTCROP_ENGINE__MESSAGES__MODELS='{"anthropic.claude-…" = "name"}'`.

What is set for a kind of engine that was not chosen has no effect, and is told as a mistake. Not where
something stronger chose another kind: `--engine scripted` leaves `[engine.messages]` in the file as it is.

Several engines, each in regions of its own, take the place of `[engine]`:
"""
    yield "```toml"
    yield PLACED.strip()
    yield "```\n"
    for where, name in SECTION_NAMES.items():
        section = _section_type(where)
        yield f"## [{name}]\n"
        yield f"{inspect.cleandoc(section.__doc__ or '')}\n"
        rows = [_setting(setting, flags) for setting in _settings_in(where)]
        yield from _table(["setting", "default", "takes", "what for", "variable, flag"], rows)


EXAMPLE = """
[server]
port = 8080
tls = true

[bedrock]
region = "ap-southeast-3"

[engine]
kind = "messages"

[engine.messages]
base_url = "http://127.0.0.1:8000"
api_key = "env:VLLM_API_KEY"
lacks = ["images", "documents"]

[engine.messages.models]
"anthropic.claude-sonnet-4-5-20250929-v1:0" = "Qwen/Qwen3-8B"
"""


PLACED = """
[engines.frankfurt]
kind = "messages"
regions = ["eu-central-1", "eu-west-1"]
models = ["claude-sonnet-4-5", "claude-haiku-4-5"]
requests_per_minute = 50

[engines.frankfurt.messages]
base_url = "http://10.0.0.7:8000"

[engines.ohio]
kind = "messages"
regions = ["us-east-2"]
"""


def _section_type(where: tuple[str, ...]) -> type[Struct]:
    value: object = Settings(engines={"<name>": Placed()})
    for name in where:
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return type(value)  # type: ignore[return-value]


def _settings_in(where: tuple[str, ...]) -> list[Setting]:
    return [setting for setting in config.catalogue(["<name>"]).values() if setting.where[:-1] == where]


def _flags() -> dict[str, str]:
    """The flag of `outcrop serve` for a setting, by the name click gives it."""
    serve = outcrop.get_command(click.Context(outcrop), "serve")
    if serve is None:
        raise LookupError("there is no command `serve`")
    return {param.name or "": param.opts[0] for param in serve.params if isinstance(param, click.Option)}


def _setting(setting: Setting, flags: dict[str, str]) -> list[str]:
    default = _code(config.shown(setting, setting.default))
    if setting.name == "data.folder":
        default = "your data folder (`~/.local/share/outcrop` on Linux)"
    flag = flags.get("_".join(setting.where))
    set_by = f"`{setting.variable}`" + (f", `{flag}`" if flag else "")
    return [f"`{setting.where[-1]}`", default, _cell(setting.wanted), _cell(setting.purpose), set_by]


# --- commands ---


def _cli() -> Iterator[str]:
    yield DRAWN
    yield "# The command line\n"
    yield f"> {ABOUT}\n"
    yield """\
What the commands say of themselves. Exit codes: 0 all is well, 1 a failure (with what to do about it), 2
wrong usage (a flag that names no region or model, too), 78 a wrong setting, whether the file, a variable or a
flag such as `--base-url` set it; `outcrop exec` gives the code of its program. Lists and records are printed
as JSON by `--output json`.
"""
    for words, command in commands():
        yield f"{'#' * len(words)}# outcrop {' '.join(words)}\n" if words else "## outcrop\n"
        yield "```text"
        yield _help(words, command)
        yield "```\n"


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it, groups before what is in them."""
    yield (), outcrop
    for name in COMMANDS:
        command = outcrop.get_command(click.Context(outcrop), name)
        if command is None:
            raise LookupError(name)
        yield from _with_inner((name,), command)


def _with_inner(
    words: tuple[str, ...], command: click.Command
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _with_inner((*words, name), command.commands[name])


def _help(words: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(
        command,
        info_name=" ".join(("outcrop", *words)),
        terminal_width=100,
        max_content_width=100,
        help_option_names=["-h", "--help"],
    )
    return command.get_help(context)


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
