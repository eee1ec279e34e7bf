"""How long to wait for each phase of a call, in whatever form it is given. Measures no time itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outcrop.client.errors import UsageError
from outcrop.transport import Timeouts

if TYPE_CHECKING:
    from types import EllipsisType

_GIVE: Final = "Give seconds above 0, or None to wait for ever."
_FOR_EVER: Final = 10.0 * 365 * 86_400  # seconds: no timer of the system refuses it


class Timeout:
    """Seconds for each phase of a call; None waits for ever.

    `connect`: the connection, TLS and a proxy's answer included. `write`: until the server takes more of the
    request. `read`: until the answer begins (a whole answer begins when the model has finished). `stall`:
    between two parts of a stream. `pool`: until one of the client's connections is free. What is not given
    takes `timeout`, if that is given, as in httpx; else its default.
    """

    __slots__ = ("connect", "pool", "read", "stall", "write")

    connect: float | None
    read: float | None
    write: float | None
    pool: float | None
    stall: float | None

    def __init__(
        self,
        timeout: float | EllipsisType | None = ...,
        *,
        connect: float | EllipsisType | None = ...,
        read: float | EllipsisType | None = ...,
        write: float | EllipsisType | None = ...,
        pool: float | EllipsisType | None = ...,
        stall: float | EllipsisType | None = ...,
    ) -> None:
        given = {"connect": connect, "read": read, "write": write, "pool": pool, "stall": stall}
        whole = ... if timeout is ... else _checked("timeout", timeout)
        for phase, default in _DEFAULTS.items():
            if given[phase] is not ...:
                seconds = _checked(f"timeout: {phase}", given[phase])
            else:
                seconds = default if whole is ... else whole
            object.__setattr__(self, phase, seconds)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Timeout does not change: make a new one with {name}={value!r}")

    def __repr__(self) -> str:
        return f"Timeout({', '.join(f'{phase}={getattr(self, phase)!r}' for phase in _DEFAULTS)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and all(
            getattr(self, phase) == getattr(other, phase) for phase in _DEFAULTS
        )

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, phase) for phase in _DEFAULTS))


# Read and connect as `anthropic` has them. Bedrock sends something at least every few seconds while a model
# writes; two minutes of nothing is a lost stream.
_DEFAULTS: Final[dict[str, float | None]] = {
    "connect": 5.0,
    "read": 600.0,
    "write": 60.0,
    "pool": 600.0,
    "stall": 120.0,
}


def _checked(name: str, seconds: object) -> float | None:
    """Seconds as they were given. `name` is what they are called in errors: UsageError for what is none."""
    if seconds is None:
        return None
    if isinstance(seconds, str):
        raise UsageError(f"{name}={seconds!r} is text, and has to be a number.", _as_number(name, seconds))
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise UsageError(f"{name}={seconds!r} is no number of seconds.", _GIVE)
    try:
        number = float(seconds)
    except OverflowError:  # not quoted: Python refuses to print the longest ones
        raise UsageError(f"{name} is a number with more digits than seconds can have.", _GIVE) from None
    if not number > 0:  # as a NaN is not
        raise UsageError(f"{name}={seconds!r}: must be above 0 seconds.", _GIVE)
    return seconds


def _as_number(name: str, text: str) -> str:
    try:
        seconds = float(text)
    except ValueError:
        return _GIVE
    return f"Write {name}={seconds:g}, without quotation marks." if seconds > 0 else _GIVE


def as_timeouts(given: Any, keep: float = 50.0) -> Timeouts:
    """What the transport is told. Takes seconds, a Timeout, httpx's Timeout, or None. Raises UsageError.

    `keep` is how long an unused connection is kept: Bedrock closes its side after about a minute.
    """
    if given is None or isinstance(given, (int, float, str)):
        given = Timeout(given)  # type: ignore[arg-type]  # text is refused there
    elif not isinstance(given, Timeout):
        try:
            given = Timeout(
                connect=given.connect, read=given.read, write=given.write, pool=given.pool, stall=given.read
            )
        except AttributeError:
            raise UsageError(
                f"timeout={given!r} is no number of seconds and no Timeout.",
                "Give seconds (a timedelta's are total_seconds()), or outcrop.Timeout(read=…, stall=…).",
            ) from None
    return Timeouts(
        slot=_or_for_ever(given.pool),
        connect=_or_for_ever(given.connect),
        write=_or_for_ever(given.write),
        head=_or_for_ever(given.read),
        idle=_or_for_ever(given.stall),
        keep=keep,
    )


def _or_for_ever(seconds: float | None) -> float:
    return _FOR_EVER if seconds is None else min(seconds, _FOR_EVER)
