"""How long a call may wait: what is taken, and what is said of what can't be meant."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.client.errors import UsageError
from outcrop.client.timeouts import Timeout, as_timeouts

PHASES = ("connect", "read", "write", "pool", "stall")
YEARS = 3 * 365 * 86_400


def test_one_number_is_for_every_phase() -> None:
    found = as_timeouts(7)
    assert {found.connect, found.head, found.write, found.slot, found.idle} == {7}
    assert found.keep == 50.0


def test_what_is_not_given_has_its_default_and_none_waits_for_ever() -> None:
    found = as_timeouts(Timeout(read=None, stall=3))
    assert found.head > YEARS
    assert (found.idle, found.connect) == (3, 5.0)
    assert as_timeouts(None).connect > YEARS
    assert as_timeouts(Timeout()) == as_timeouts(Timeout(connect=5, read=600, write=60, pool=600, stall=120))


def test_a_phase_goes_before_the_number_for_all() -> None:
    found = Timeout(9, connect=1)
    assert (found.connect, found.read, found.pool) == (1, 9, 9)
    assert Timeout(None, read=1).connect is None


def test_httpxs_timeouts_are_taken() -> None:
    found = as_timeouts(httpx2.Timeout(11, connect=2, pool=None))
    assert (found.head, found.idle, found.connect) == (11, 11, 2)
    assert found.slot > YEARS


@given(st.floats(min_value=0, exclude_min=True) | st.integers(1, 10**300))
def test_any_number_above_zero_is_what_the_system_can_take(seconds: float) -> None:
    found = as_timeouts(seconds)
    assert 0 < found.connect <= 10 * 365 * 86_400
    assert found.connect == min(seconds, found.connect)
    assert math.isfinite(found.connect)


@pytest.mark.parametrize(
    ("given", "what", "fix"),
    [
        (0, "timeout=0: must be above 0 seconds.", "Give seconds above 0, or None to wait for ever."),
        (-1.5, "timeout=-1.5: must be above 0 seconds.", "Give seconds above 0"),
        (math.nan, "timeout=nan: must be above 0 seconds.", "Give seconds above 0"),
        ("5", "timeout='5' is text, and has to be a number.", "Write timeout=5, without quotation marks."),
        ("2.5", "timeout='2.5' is text, and has to be a number.", "Write timeout=2.5, without"),
        ("-5", "timeout='-5' is text, and has to be a number.", "Give seconds above 0"),
        ("soon", "timeout='soon' is text, and has to be a number.", "Give seconds above 0"),
        (10**400, "timeout is a number with more digits than seconds can have.", "Give seconds above 0"),
        (-(10**400), "timeout is a number with more digits than seconds can have.", "Give seconds above 0"),
        (True, "timeout=True is no number of seconds.", "Give seconds above 0"),
        ((1, 2), "timeout=(1, 2) is no number of seconds and no Timeout.", "Give seconds"),
        (
            timedelta(seconds=5),
            "timeout=datetime.timedelta(seconds=5) is no number",
            "Give seconds (a timedelta",
        ),
        (b"5", "timeout=b'5' is no number of seconds and no Timeout.", "Give seconds"),
    ],
)
def test_what_is_no_time_is_named(given: Any, what: str, fix: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_timeouts(given)
    assert caught.value.what.startswith(what)
    assert caught.value.fix.startswith(fix)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "timeout: {}=0: must be above 0 seconds."),
        ("5", "timeout: {}='5' is text, and has to be a number."),
        (1j, "timeout: {}=1j is no number of seconds."),
        (10**400, "timeout: {} is a number with more digits than seconds can have."),
    ],
)
def test_a_phase_that_is_no_time_is_named(phase: str, seconds: Any, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Timeout(**{phase: seconds})
    assert caught.value.what == text.format(phase)


def test_a_timeout_is_a_value() -> None:
    assert Timeout(3) == Timeout(3)
    assert hash(Timeout(3)) == hash(Timeout(3))
    assert Timeout(3) != Timeout(3, read=4)
    assert Timeout(3) != 3
    assert eval(repr(Timeout(3, read=None))) == Timeout(3, read=None)
    with pytest.raises(AttributeError, match="make a new one with read=5"):
        Timeout(3).read = 5
