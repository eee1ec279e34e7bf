"""How long to wait for each phase of a call, in whatever form it is given. Measures no time itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outcrop.client.errors import UsageError
from outcrop.transport import Timeouts

if TYPE_CHECKING:
    from types import EllipsisType

_FOR_EVER: Final = 10.0 * 365 * 86_400  # seconds: no timer of the system refuses it


class Timeout:
    """Seconds for each phase of a call; None waits for ever.

    `connect`: the connection, TLS and a proxy's answer included. `write`: until the server takes more of the
    request. `read`: until the answer begins (a whole answer begins when the model has finished). `stall`:
    between two parts of a stream. `pool`: until one of the client's connections is free. What is not given
    takes `timeout`, if that is given, as in httpx; else its default.
    """

    __slots__ = ("connect", "pool", "read", "stall", "write")

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
        for phase, default in _DEFAULTS.items():
            seconds = given[phase] if given[phase] is not ... else timeout if timeout is not ... else default
            object.__setattr__(self, phase, _checked(phase, seconds))

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


def _checked(phase: str, seconds: Any) -> float | None:
    if seconds is None or (
        isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds > 0
    ):
        return seconds
    raise UsageError(
        f"timeout: {phase} is {seconds!r}, which is no number of seconds.",
        "Give seconds above 0, or None to wait for ever.",
    )


def as_timeouts(given: Any, keep: float = 50.0) -> Timeouts:
    """What the transport is told. Takes seconds, a Timeout, httpx's Timeout, or None. Raises UsageError.

    `keep` is how long an unused connection is kept: Bedrock closes its side after about a minute.
    """
    if given is None or isinstance(given, (int, float)):
        given = Timeout(given)
    elif not isinstance(given, Timeout):
        try:
            given = Timeout(
                connect=given.connect, read=given.read, write=given.write, pool=given.pool, stall=given.read
            )
        except AttributeError:
            raise UsageError(
                f"timeout={given!r} is no number of seconds and no Timeout.",
                "Give seconds, or outcrop.Timeout(connect=…, read=…, stall=…).",
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
    return _FOR_EVER if seconds is None else seconds
