"""A named profile in the AWS config and credentials files. Text in, text out; all else is kept byte for byte.

Knows the layout of these files: `[profile NAME]` and `[services NAME]` in one, `[NAME]` in the other, and
nested settings by indentation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from outcrop.errors import OutcropError

# a value, or the settings nested under a name
Value: TypeAlias = str | Mapping[str, str]

_NAME = re.compile(r"[A-Za-z0-9_.@+-]+")
_HEADER = re.compile(r"\s*\[([^\]]*)\]")
_KEY = re.compile(r"([A-Za-z0-9_.-]+)\s*[=:]\s*(.*)")

# Other ways to get credentials: with one of these in it, the profile is a door to somebody's real account.
_OTHER_CREDENTIALS: Final = (
    "role_arn",
    "source_profile",
    "credential_source",
    "credential_process",
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "web_identity_token_file",
    "login_session",
)


def config_with(
    text: str, name: str, url: str, region: str, ca_bundle: str = "", *, overwrite: bool = False
) -> str:
    """The config file with the profile in it. Raises OutcropError when the profile exists and is not ours."""
    section = _section_name(name)
    present = settings_of(text, section)
    foreign: list[str] = [
        key for key in (*_OTHER_CREDENTIALS, "services") if key in present and present[key] != name
    ]
    if foreign and not overwrite:
        raise OutcropError(
            f"There is a profile {name} already, and it has {foreign[0]}: it leads to something else.",
            "Choose another name, or add --overwrite to turn that profile into ours.",
        )
    wanted: dict[str, Value] = {"region": region, "services": name}
    drop = [*foreign]
    if ca_bundle:
        wanted["ca_bundle"] = ca_bundle
    elif present.get("ca_bundle", "").endswith("bundle.pem"):
        drop.append("ca_bundle")  # ours, from an earlier --tls
    text = with_section(text, section, wanted, drop)
    nested: dict[str, Value] = {key: {"endpoint_url": url} for key in ("bedrock", "bedrock_runtime", "sts")}
    return with_section(text, f"services {name}", nested)


def credentials_with(
    text: str, name: str, access_key: str, secret_key: str, ours: Iterable[str], *, overwrite: bool = False
) -> str:
    """The credentials file with the key pair in it. `ours` are the access key ids that may be replaced.

    Raises OutcropError when the section holds other people's credentials.
    """
    present = settings_of(text, name).get("aws_access_key_id", access_key)
    if present not in (access_key, *ours) and not overwrite:
        raise OutcropError(
            f"The credentials file has a profile {name} already, with another access key ({present}).",
            "Choose another name, or add --overwrite to replace these credentials; they are lost then.",
        )
    wanted = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
    return with_section(text, name, wanted, ["aws_session_token"])


def check_name(name: str) -> None:
    """Raises OutcropError for a name that these files could not hold without quotes."""
    if not _NAME.fullmatch(name):
        raise OutcropError(f"{name!r} is no name for a profile.", "Use letters, digits, - and _.")


def _section_name(name: str) -> str:
    return name if name == "default" else f"profile {name}"


def settings_of(text: str, section: str) -> dict[str, str]:
    """The plain settings of a section; {} when it is not there."""
    lines = text.splitlines()
    start, end = _extent(lines, section)
    found = (_KEY.match(line) for line in lines[start:end])
    return {match[1]: match[2].strip() for match in found if match}


def with_section(text: str, section: str, wanted: Mapping[str, Value], drop: Sequence[str] = ()) -> str:
    """The text with these settings in that section. What is there already stays where it stands."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith(("\n", "\r")):
        lines[-1] += newline
    start, end = _extent(lines, section)
    if start == 0:
        lines += [newline] if lines and lines[-1].strip() else []
        lines.append(f"[{section}]{newline}")
        start = end = len(lines)
    body = lines[start:end]
    for key in drop:
        _replace(body, key, [])
    for key, value in wanted.items():
        _replace(body, key, _lines_of(key, value, newline), append=True)
    return "".join([*lines[:start], *body, *lines[end:]])


def _extent(lines: Sequence[str], section: str) -> tuple[int, int]:
    """First and last line (exclusive) of what stands below a section's header; (0, 0) when there is none."""
    start = 0
    for index, line in enumerate(lines):
        if header := _HEADER.match(line):
            if start:
                return start, index
            if header[1].split() == section.split():
                start = index + 1
    return start, len(lines) if start else 0


def _lines_of(key: str, value: Value, newline: str) -> list[str]:
    if isinstance(value, str):
        return [f"{key} = {value}{newline}"]
    return [f"{key} ={newline}", *(f"  {name} = {text}{newline}" for name, text in value.items())]


def _replace(body: list[str], key: str, lines: list[str], *, append: bool = False) -> None:
    """Put `lines` where `key` stands, with what is nested below it; or at the section's end."""
    places = [index for index, line in enumerate(body) if (match := _KEY.match(line)) and match[1] == key]
    for index in reversed(places):  # one is the rule; of several, readers take the last, and some none
        end = index + 1
        while end < len(body) and body[end][:1].isspace() and body[end].strip():
            end += 1
        body[index:end] = lines if index == places[0] else []
    if append and not places:
        at = len(body)
        while at and not body[at - 1].strip():
            at -= 1
        body[at:at] = lines
