"""How the settings are found, merged and checked; and where each value came from.

Knows the sources and their order, and how to tell a person what is wrong; not which settings there are.

    flag  >  OUTCROP_<SECTION>__<KEY>  >  outcrop.toml  >  default
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta

from outcrop.config.choosing import idle
from outcrop.config.lines import Where, line_of
from outcrop.config.placing import misplaced
from outcrop.config.settings import Placed, Secret, Settings, is_loopback
from outcrop.errors import ConfigError


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from: `kind` is one word, `place` what a person can go and change."""

    kind: Literal["default", "file", "environment", "flag"]
    place: str = ""


class Setting(msgspec.Struct, frozen=True):
    """One setting as the reference lists it. `default` is a value; `wanted` and `purpose` are its Meta."""

    where: Where
    type: Any
    default: Any
    wanted: str
    purpose: str

    @property
    def name(self) -> str:
        """Its name as errors spell it: `server.port`."""
        return ".".join(self.where)

    @property
    def is_collection(self) -> bool:
        """Whether it is a list or a table, which an environment variable writes as TOML or with commas."""
        return get_origin(get_args(self.type)[0]) in (tuple, dict)

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + "__".join(part.upper() for part in self.where)


class Loaded(msgspec.Struct, frozen=True):
    """Settings, the file they came from (None: there was none), and the origin of each by its place."""

    settings: Settings
    file: Path | None
    origins: Mapping[Where, Origin]


ENV_PREFIX: Final = "OUTCROP_"
_SHORT_VARIABLES: Final[Mapping[str, Where]] = {"OUTCROP_DATA_DIR": ("data", "folder")}


# The sections whose names are the person's own, [engines.<name>]; and what such a name may be: what a
# variable can spell, without the two underscores that separate there.
_NAMED: Final[Where] = ("engines",)
_NAME: Final = re.compile(r"[a-z0-9]([_-]?[a-z0-9])*")


def catalogue(engines: Iterable[str] = ()) -> dict[Where, Setting]:
    """Every setting by its place, in the order of the sections, those of the named `engines` among them."""
    return {setting.where: setting for setting in _settings_of(Settings, (), tuple(engines))}


def _settings_of(
    section: type[msgspec.Struct], at: Where, engines: tuple[str, ...] = ()
) -> Iterator[Setting]:
    for field in msgspec.structs.fields(section):
        where = (*at, field.name)
        if where == _NAMED:
            for name in engines:
                yield from _settings_of(Placed, (*where, name))
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            yield from _settings_of(field.type, where)
        else:
            metas = [meta for meta in field.type.__metadata__ if isinstance(meta, Meta)]
            title = next(meta.title for meta in reversed(metas) if meta.title)
            purpose = next(meta.description for meta in reversed(metas) if meta.description)
            default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
            yield Setting(where, field.type, default, title, purpose)


def load(
    path: Path | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> Loaded:
    """Find, read and check the settings.

    `path` is the file the person named. `flags` maps a setting's name (`server.port`) to the flag (`--port`)
    and its value. Raises ConfigError, which names the place of the first mistake and the number of others.
    """
    loaded, problems = check(path, env=env, flags=flags)
    if problems:
        first, more = problems[0], len(problems) - 1
        also = f" ({more} more: `outcrop config check` lists them.)" if more else ""
        raise ConfigError(first.what, first.fix + also)
    return loaded


def check(
    path: Path | None = None,
    *,
    env: Mapping[str, str] = os.environ,
    flags: Mapping[str, tuple[str, Any]] | None = None,
) -> tuple[Loaded, list[ConfigError]]:
    """As `load`, but hands back every mistake. What is wrong has its default in the settings returned.

    Raises ConfigError for a file that can't be read or is not TOML.
    """
    reader = _Reader(catalogue())
    file = _find(path, env)
    if file is not None:
        reader.read_file(file)
    reader.read_environment(env)
    for name, (flag, value) in (flags or {}).items():
        reader.take(tuple(name.split(".")), value, Origin("flag", flag))
    if ("data", "folder") not in reader.values:
        reader.values["data", "folder"] = default_data_folder()
    settings = _build(Settings, (), reader.values, reader.engines)
    reader.problems += _contradictions(settings, reader.origins)
    reader.problems += idle(settings, reader.origins, reader.refused)
    origins = {where: reader.origins.get(where, Origin("default")) for where in reader.known}
    return Loaded(settings, file, origins), reader.problems


def default_data_folder() -> Path:
    """The folder for this user's data, by the custom of the system."""
    import platformdirs

    return platformdirs.user_data_path("outcrop", appauthor=False)


def _find(path: Path | None, env: Mapping[str, str]) -> Path | None:
    if path is None and env.get("OUTCROP_CONFIG"):
        path = Path(env["OUTCROP_CONFIG"])
    if path is not None:
        if not path.is_file():
            raise ConfigError(
                f"There is no configuration file {path}.", "Correct --config or OUTCROP_CONFIG, or unset it."
            )
        return path
    here = Path("outcrop.toml")
    if here.is_file():
        return here
    import platformdirs

    user = platformdirs.user_config_path("outcrop", appauthor=False) / "outcrop.toml"
    return user if user.is_file() else None


class _Reader:
    """Collects values, their origins and the mistakes, from the weakest source to the strongest."""

    def __init__(self, known: dict[Where, Setting]) -> None:
        self.known = known
        self.values: dict[Where, Any] = {}
        self.origins: dict[Where, Origin] = {}
        self.problems: list[ConfigError] = []
        self.refused: set[Where] = set()

    def read_file(self, path: Path) -> None:
        try:
            text = path.read_text(encoding="utf-8")
            data = tomllib.loads(text)
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} can't be read: {error}.", "Check who may read it, and that it is UTF-8."
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}.", "Correct that line.") from error
        self._walk(data, (), path, text)

    def _walk(self, data: Mapping[str, Any], at: Where, path: Path, text: str) -> None:
        for key, value in data.items():
            where = (*at, key)
            origin = Origin("file", f"{path}, line {line_of(text, where)}")
            if at == _NAMED and isinstance(value, dict) and not self._admit(key, origin):
                continue
            if where in self.known:
                self.take(where, value, origin, base=path.parent)
            elif not self._is_section(where) and at != _NAMED:
                self._unknown(where, origin)
            elif value == {} and where == _NAMED:
                fix = "Write [engines.<name>] for each engine; or take it out, and one engine answers."
                self.problems.append(ConfigError(f"{origin.place}: [engines] names no engine.", fix))
            elif isinstance(value, dict):
                self._walk(value, where, path, text)
            else:
                name = ".".join(where)
                fix = f"Write [{name}] on a line of its own, and its settings below."
                self.problems.append(ConfigError(f"{origin.place}: {name} is a section, not a value.", fix))

    def read_environment(self, env: Mapping[str, str]) -> None:
        for name, text in sorted(env.items()):
            if not name.startswith(ENV_PREFIX):
                continue
            where = _SHORT_VARIABLES.get(name) or tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            if len(where) == 1:
                self._without_section(name, where[0], text)
                continue
            origin = Origin("environment", name)
            if where[:1] == _NAMED and len(where) > 2 and not self._admit(where[1], origin):
                continue
            if where in self.known:
                self._take_text(where, text, origin)
            else:
                self._unknown(where, origin)

    def _admit(self, name: str, origin: Origin) -> bool:
        """Make the settings of an engine with this name known; False when it can't be one."""
        if len(name) > 32 or not _NAME.fullmatch(name):
            fix = "Use lowercase letters and digits, and single - or _ between them."
            self.problems.append(ConfigError(f"{origin.place}: {name!r} can't name an engine.", fix))
            return False
        if not self._is_section((*_NAMED, name)):
            self.known |= catalogue([name])
        return True

    @property
    def engines(self) -> list[str]:
        """The names of the engines that are known."""
        return list(dict.fromkeys(where[1] for where in self.known if where[:1] == _NAMED))

    def _without_section(self, name: str, key: str, text: str) -> None:
        """OUTCROP_PORT or OUTCROP_ENGINE would change nothing; other variables are not ours to judge."""
        meant = [setting for where, setting in catalogue(["<name>"]).items() if key in where[-3:]]
        # in Kubernetes a service named `outcrop` puts OUTCROP_PORT=tcp://… into every container beside it
        if meant and not text.startswith("tcp://"):
            fix = f"Write {meant[0].variable}."
            self.problems.append(ConfigError(f"{name}: a setting's variable names its section too.", fix))

    def _take_text(self, where: Where, text: str, origin: Origin) -> None:
        value: Any = text
        if self.known[where].is_collection:
            try:
                value = _from_text(text)
            except tomllib.TOMLDecodeError:
                value = text  # is refused below, by its type
        self.take(where, value, origin)

    def take(self, where: Where, value: Any, origin: Origin, base: Path = Path()) -> None:
        """Check one value and keep it."""
        setting = self.known[where]

        def hook(wanted: Any, given: Any) -> Any:
            return _custom(wanted, given, base, origin)

        try:
            # text from the environment becomes a number or a truth value; in the file, "8080" is a mistake
            kept = msgspec.convert(value, setting.type, strict=origin.kind != "environment", dec_hook=hook)
        except ConfigError as error:
            self.problems.append(error)
            self.refused.add(where)
        except msgspec.ValidationError:
            self.problems.append(_wrong(setting, value, origin))
            self.refused.add(where)
        else:
            self.values[where], self.origins[where] = kept, origin

    def _is_section(self, where: Where) -> bool:
        return where == _NAMED or any(known[: len(where)] == where for known in self.known)

    def _unknown(self, where: Where, origin: Origin) -> None:
        parent, key = where[:-1], where[-1]
        while parent and not self._is_section(parent):
            parent, key = parent[:-1], parent[-1]
        depth = len(parent)
        names = sorted(
            {
                known[depth]
                for known in (*self.known, _NAMED)
                if known[:depth] == parent and len(known) > depth
            }
        )
        close = difflib.get_close_matches(key, names, n=1)
        section = f"[{'.'.join(parent)}]" if parent else "The configuration"
        what = f"{origin.place}: {section} has no {'setting' if parent else 'section'} {key!r}."
        listed = f"There are: {', '.join(names)}."
        elsewhere = [known for known in self.known if known[-1] == where[-1]]
        if close:
            listed = f"Did you mean {close[0]!r}? {listed}"
        elif elsewhere:
            listed = f"It belongs into [{'.'.join(elsewhere[0][:-1])}]."
        self.problems.append(ConfigError(what, listed))


def _from_text(text: str) -> Any:
    """A list or a table out of an environment variable: TOML, or a plain list with commas."""
    if text.lstrip().startswith(("[", "{")):
        return tomllib.loads(f"value = {text}")["value"]
    return [part.strip() for part in text.split(",") if part.strip()]


def _custom(wanted: Any, given: Any, base: Path, origin: Origin) -> Any:
    """Values of the types msgspec does not know: paths, relative to the file that names them, and secrets."""
    if not isinstance(given, str) or not given:
        raise ValueError("not a text")
    if wanted is Secret:
        if origin.kind == "file" and not given.startswith(("env:", "file:")):
            raise ConfigError(
                f"{origin.place}: a secret stands in the file itself.",
                'Put it into an environment variable or a file, and write "env:NAME" or "file:/path" here.',
            )
        return Secret(given)
    return (base / Path(given).expanduser()).absolute()


def _wrong(setting: Setting, value: Any, origin: Origin) -> ConfigError:
    fix = f"Correct it, or leave it out for the default ({shown(setting, setting.default)})."
    if isinstance(value, dict) and setting.is_collection:
        fix = "Names with dots must be in quotes, and every value a text in quotes."
    return ConfigError(
        f"{origin.place}: {setting.name} must be {setting.wanted}, not {shown(setting, value)}.", fix
    )


def shown(setting: Setting, value: Any) -> str:
    """A value as TOML would have it, for people; what may hold a secret is masked."""
    if value is None:
        return "none"
    if isinstance(value, Secret):
        return f'"{value!r}"'
    if setting.where[-1] in ("api_key", "secret_key"):
        return "a secret"
    if isinstance(value, dict) and setting.where[-1] == "headers":
        value = {name: repr(Secret(text)) if isinstance(text, str) else text for name, text in value.items()}
    if isinstance(value, str):
        value = re.sub(r"//[^/@]*@", "//********@", value)
    return _toml(value)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(item)}" for name, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str | Path):
        return msgspec.json.encode(str(value)).decode()
    return f"{value:g}" if isinstance(value, float) else str(value)


_Section = TypeVar("_Section", bound=msgspec.Struct)


def _build(
    section: type[_Section], at: Where, values: Mapping[Where, Any], engines: Iterable[str] = ()
) -> _Section:
    arguments: dict[str, Any] = {}
    for field in msgspec.structs.fields(section):
        where = (*at, field.name)
        if where in values:
            arguments[field.name] = values[where]
        elif where == _NAMED:
            arguments[field.name] = {name: _build(Placed, (*where, name), values) for name in engines}
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            arguments[field.name] = _build(field.type, where, values)
    return section(**arguments)


def _contradictions(settings: Settings, origins: Mapping[Where, Origin]) -> Iterator[ConfigError]:
    """Mistakes that no single value makes."""
    server = settings.server

    def place(*names: str) -> str:
        set_here = [origins["server", name].place for name in names if ("server", name) in origins]
        return f"{set_here[0]}: " if set_here else ""

    if not is_loopback(server.host) and not server.tls and not server.insecure_bind:
        yield ConfigError(
            f"{place('host')}{server.host} can be reached from other machines, and there is no TLS: "
            "keys' signatures protect requests, but everybody on the way can read them.",
            "Add --tls (the plain port then stays on 127.0.0.1), or --insecure-bind if a proxy does TLS.",
        )
    if server.tls and server.port == server.tls_port:
        yield ConfigError(
            f"{place('tls_port', 'port')}port and tls_port are both {server.port}.", "Give each its own."
        )
    if (server.tls_certificate is None) != (server.tls_key is None):
        what = (
            f"{place('tls_certificate', 'tls_key')}tls_certificate and tls_key go together; one is missing."
        )
        yield ConfigError(what, "Set both, or neither to have `outcrop tls` make them.")
    yield from _one_or_several(settings, origins)
    yield from misplaced(settings, lambda where: origins[where].place)


def _one_or_several(settings: Settings, origins: Mapping[Where, Origin]) -> Iterator[ConfigError]:
    one = [where for where in origins if where[:1] == ("engine",)]
    if not one or not settings.engines:
        return
    named = ", ".join(f"[engines.{name}]" for name in settings.engines)
    place = origins[one[0]].place
    yield ConfigError(
        f"{place}: {'.'.join(one[0])} is set, and there are {named}: [engine] is one engine for all regions, "
        "and they take its place.",
        f"Drop what sets [engine] ({', '.join(dict.fromkeys(origins[where].place for where in one))}), "
        f"or drop {named}.",
    )
