"""The words of the doctor: who is examined, and what was found."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from outcrop.cli.running import Running
from outcrop.config import Settings
from outcrop.errors import ConfigError

Status: TypeAlias = Literal["ok", "warn", "fail"]

_SKEW_SECONDS: Final = 60


class Finding(NamedTuple):
    """One line of the report. `fix` is the next thing to do; "" where nothing needs to be done."""

    subject: str
    status: Status
    saw: str
    fix: str = ""


class Patient(msgspec.Struct, frozen=True):
    """What is examined: the settings, the endpoint that runs (None: none), the environment of clients."""

    settings: Settings
    problems: tuple[ConfigError, ...]
    running: Running | None
    env: Mapping[str, str]


def clock(whose: str, date: str | None) -> Iterator[Finding]:
    """Signatures carry a time: a clock that is off by more than five minutes gets every request refused."""
    if date is None:
        return
    off = time.time() - email.utils.parsedate_to_datetime(date).timestamp()
    if abs(off) > _SKEW_SECONDS:
        fix = (
            "Set the clock (for example: timedatectl set-ntp true); signatures are refused from 5 minutes on."
        )
        yield Finding("clock", "fail", f"this clock and the {whose} are {abs(off):.0f} s apart", fix)
    else:
        yield Finding("clock", "ok", f"agrees with the {whose}")
