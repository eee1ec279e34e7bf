"""AWS's two files, `~/.aws/config` and `~/.aws/credentials`, read as botocore reads them.

Knows their places, their layout and what can be wrong with them; not what the settings in a profile mean.
The oracle is botocore 1.44 (`configloader`, `Session.full_config`): profiles are `[profile NAME]` in the
first file and `[NAME]` in the second; a profile has what both say, and the credentials file wins.

Stricter than botocore in two ways: a file that may not be read, or is a folder, is an error and not a
file that is not there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias

from outcrop.client.errors import ConfigFileError, UsageError

if TYPE_CHECKING:
    from configparser import Error

# a value, or the settings nested under a name by indentation
Value: TypeAlias = str | dict[str, str]
Sections: TypeAlias = dict[str, dict[str, Value]]

_SHOWN: Final = 20  # names in an error text


def named(profile: str | None, environ: Mapping[str, str]) -> str:
    """The profile somebody asked for by name: the argument's, or the environment's; "" when nobody did.

    The order of the two variables is botocore's. Unlike there, an empty variable counts as none. Raises
    UsageError for an argument that is no text.
    """
    if profile is not None:
        as_text(profile, "aws_profile")
    return profile or environ.get("AWS_DEFAULT_PROFILE") or environ.get("AWS_PROFILE") or ""


def as_text(given: object, name: str) -> str:
    """An argument that has to be text. Raises UsageError, which does not quote it: it may be a secret."""
    if isinstance(given, str):
        return given
    kind = type(given).__name__
    decode = f" For bytes: {name}.decode()." if isinstance(given, (bytes, bytearray)) else ""
    raise UsageError(f"{name} is a value of type {kind}, and has to be text.", f"Give a str.{decode}")


class Profile:
    """One profile: what stands in the config file and what in the credentials file, the latter first."""

    __slots__ = ("_files", "config", "name", "shared")

    def __init__(
        self, name: str, config: dict[str, Value], shared: dict[str, Value], files: tuple[str, str]
    ) -> None:
        self.name = name
        self.config = config
        self.shared = shared
        self._files = files

    def __repr__(self) -> str:
        return f"Profile({self.name!r})"  # its settings may be secrets

    def __contains__(self, key: str) -> bool:
        return key in self.shared or key in self.config

    def get(self, key: str) -> str:
        """A setting's text, "" when the profile lacks it.

        Raises ConfigFileError where settings are nested under that name.
        """
        value = self.shared[key] if key in self.shared else self.config.get(key, "")
        if isinstance(value, dict):
            raise ConfigFileError(
                f"{key} of {self.origin(key)} holds other settings, indented below it.",
                f"Write it on one line: {key} = …",
            )
        return value

    def origin(self, key: str = "") -> str:
        """Where a setting stands, for people: `profile 'dev' in ~/.aws/config`."""
        shared = key in self.shared if key else not self.config
        return f"profile '{self.name}' in {self._files[shared]}"


class Files:
    """Both files, each read when it is first asked for, and once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        # as people write them, for error texts
        self.config_name = environ.get("AWS_CONFIG_FILE", "~/.aws/config")
        self.shared_name = environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
        self._read: dict[str, Sections | None] = {}
        self._tables: dict[str, Sections] | None = None

    @property
    def were_read(self) -> bool:
        """Whether both have been looked at: then a profile is known without opening a file."""
        return self.config_name in self._read and self.shared_name in self._read

    def __repr__(self) -> str:
        return f"Files({self.config_name!r}, {self.shared_name!r})"

    def profile(self, name: str) -> Profile | None:
        """The profile of that name; None when neither file has it. A broken file raises ConfigFileError."""
        config = self._config()["profiles"].get(name)
        shared = self._sections(self.shared_name).get(name)
        if config is None and shared is None:
            return None
        return Profile(name, config or {}, shared or {}, (self.config_name, self.shared_name))

    def wanted(self, name: str) -> Profile:
        """The profile that somebody named. ConfigFileError, with those there are, where it is missing."""
        profile = self.profile(name)
        if profile is None:
            raise self._missing(name)
        return profile

    def service(self, profile: Profile, service: str) -> tuple[str, str]:
        """The endpoint_url that the profile's `services` section has for a service, and where it stands.

        ("", "") where it has none. Raises ConfigFileError for a section that is not there.
        """
        if "services" not in profile:
            return "", ""
        section = profile.get("services")
        settings = self._config()["services"].get(section)
        if not settings:
            raise ConfigFileError(
                f"{profile.origin('services')} names the services section '{section}', which is not in "
                f"{self.config_name}, or is empty.",
                f"Add [services {section}] there, or take the line `services = {section}` out.",
            )
        nested = settings.get(service, {})
        if isinstance(nested, str):
            raise ConfigFileError(
                f"{service} in [services {section}] of {self.config_name} is not a block of settings.",
                f"Write `{service} =` on a line of its own and `  endpoint_url = …` indented below it.",
            )
        return nested.get("endpoint_url", ""), f"services '{section}' in {self.config_name}"

    def there(self, file: str) -> bool:
        """Whether one of the two (by config_name or shared_name) exists."""
        self._sections(file)
        return self._read[file] is not None

    def _config(self) -> dict[str, Sections]:
        if self._tables is None:
            self._tables = _by_kind(self._sections(self.config_name))
        return self._tables

    def _sections(self, file: str) -> Sections:
        if file not in self._read:
            self._read[file] = read(_expanded(file, self._environ), file)
        return self._read[file] or {}

    def _missing(self, name: str) -> ConfigFileError:
        names = dict.fromkeys([*self._config()["profiles"], *self._sections(self.shared_name)])
        what = f"There is no profile '{name}' in {self.config_name} or {self.shared_name}."
        if name in self._sections(self.config_name):
            return ConfigFileError(
                what, f"{self.config_name} has [{name}]: in that file it must be called [profile {name}]."
            )
        if not names:
            return ConfigFileError(
                what, f"There are no profiles at all: run `aws configure --profile {name}`."
            )
        listed = ", ".join(list(names)[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        return ConfigFileError(what, f"The profiles there are: {listed}{more}.")


def read(path: str, shown: str) -> Sections | None:
    """The sections of one file; None when it is not there. `shown` is its name in errors.

    Raises ConfigFileError for a file that is no INI file, that may not be read, or that is a folder.
    """
    from configparser import Error, RawConfigParser

    if not _is_file(path, shown):
        return None
    parser = RawConfigParser()
    try:
        # the encoding of the locale, as botocore has it
        with open(path) as file:
            text = file.read()
        parser.read_string(text, shown)
    except Error as error:
        # not chained: configparser quotes the line, and the line may hold a key
        raise _broken(error, shown) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigFileError(
            f"{shown}, line {line}: not text in the encoding {error.encoding}.", "Save the file as UTF-8."
        ) from None
    except OSError as error:
        raise ConfigFileError(
            f"{shown} can't be read: {error.strerror}.", "Make it readable for this user."
        ) from None
    sections: Sections = {}
    for section in parser.sections():
        settings = sections[section] = {}
        for key, value in parser.items(section):
            try:
                settings[key] = _nested(value) if value.startswith("\n") else value
            except ValueError as error:
                raise ConfigFileError(
                    f"{shown}, line {_line(text, section, str(error))}: indented, but no `name = value`.",
                    "Write it so, or put the value on the line above, after the equal sign.",
                ) from None
    return sections


def _is_file(path: str, shown: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        # also where the folder may not be entered: a container's user without a home of its own gets its
        # credentials elsewhere, and must not fail here
        return False
    if stat.S_ISDIR(mode):
        raise ConfigFileError(
            f"{shown} is a folder.",
            "Put a file there, or take the folder away (a container's mount of a missing file makes one).",
        )
    return stat.S_ISREG(mode)


def _broken(error: Error, shown: str) -> ConfigFileError:
    """An error of the parser's in our words, without the text of the line."""
    from configparser import DuplicateOptionError, DuplicateSectionError, MissingSectionHeaderError

    lines = [number for number, _ in getattr(error, "errors", ())]
    line = getattr(error, "lineno", None) or (lines[0] if lines else 0)
    if isinstance(error, DuplicateSectionError):
        what, fix = f"there is a section [{error.section}] already", "Put its settings into one section."
    elif isinstance(error, DuplicateOptionError):
        what, fix = f"a setting that [{error.section}] has already", "Keep one of the two lines."
    elif isinstance(error, MissingSectionHeaderError):
        what, fix = "a setting before the first section", "Begin with a line such as [default]."
    else:
        what, fix = "neither a [section] nor a line such as `name = value`", "Correct the line."
    return ConfigFileError(f"{shown}, line {line}: {what}.", fix)


def _nested(value: str) -> dict[str, str]:
    """The settings indented below a name. Raises ValueError with the line that is none."""
    nested = {}
    for line in filter(None, map(str.strip, value.splitlines())):
        name, equals, text = line.partition("=")
        if not equals:
            raise ValueError(line)
        nested[name.strip()] = text.strip()
    return nested


def _line(text: str, section: str, wanted: str) -> int:
    """The number of a line of that section."""
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("["):
            inside = line.startswith((f"[{section}]", "[DEFAULT]"))
        elif inside and line.strip() == wanted:
            return number
    return 0


def _by_kind(sections: Sections) -> dict[str, Sections]:
    """The config file's profiles and services by name. botocore tells a section's kind by how it begins."""
    found: dict[str, Sections] = {"profiles": {}, "services": {}}
    for header, settings in sections.items():
        kind = next((kind for kind in ("profile", "sso-session", "services") if header.startswith(kind)), "")
        if header == "default":
            found["profiles"][header] = settings
        elif kind in ("profile", "services") and (name := _name_in(header)) is not None:
            found["services" if kind == "services" else "profiles"][name] = settings
    return found


def _name_in(header: str) -> str | None:
    """The second word of `profile dev` or `profile "my dev"`; None where there are not just two."""
    from shlex import split

    try:
        words = split(header)
    except ValueError:  # a quotation mark that is not closed
        return None
    return words[1] if len(words) == 2 else None


def _expanded(path: str, environ: Mapping[str, str]) -> str:
    path = os.path.expandvars(path)
    if path.startswith("~/") and "HOME" in environ:
        return environ["HOME"].rstrip("/") + path[1:]
    return os.path.expanduser(path)
