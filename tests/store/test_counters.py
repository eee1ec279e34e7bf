"""The counters against a plain model of rolling windows, against each other, and against damage.

OUTCROP_PROVE=1 makes more of what is random, and the full hundred runs of four processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.errors import OutcropError
from outcrop.store import counters as module
from outcrop.store.counters import Amounts, Counters, Limits, Refusal, Reservation, Used

PROVE = os.environ.get("OUTCROP_PROVE") == "1"
PROGRAM = Path(__file__).with_name("counting.py")
NOW = 1_800_000_000.0  # the beginning of a quarter of an hour


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "counters"


@pytest.fixture
def counters(path: Path):
    made = Counters(path)
    yield made
    made.close()


def take(counters: Counters, limits: Limits, tokens: int, now: float, key: str = "k") -> Reservation:
    held = counters.reserve(key, limits, Amounts(1, tokens), now)
    assert isinstance(held, Reservation), held
    return held


def refused(counters: Counters, limits: Limits, tokens: int, now: float) -> Refusal:
    held = counters.reserve("k", limits, Amounts(1, tokens), now)
    assert isinstance(held, Refusal), held
    return held


# --- windows ---------------------------------------------------------------------------------------------


def test_a_minute_holds_no_more_than_its_requests(counters: Counters):
    limits = Limits(requests=3)
    for _ in range(3):
        take(counters, limits, 0, NOW)
    refusal = refused(counters, limits, 0, NOW + 0.25)
    assert refusal == Refusal("requests", 3, 1, 0, 60.75)
    assert isinstance(refused(counters, limits, 0, NOW + 60.99), Refusal)
    take(counters, limits, 0, NOW + 61)


def test_of_several_limits_the_first_is_named_and_the_longest_wait(counters: Counters):
    limits = Limits(requests=1, tokens_minute=100, tokens_day=100)
    take(counters, limits, 100, NOW)
    refusal = refused(counters, limits, 1, NOW)
    assert (refusal.limit, refusal.fits) == ("requests", 97 * 900)
    refusal = refused(counters, limits, 1, NOW + 61)
    assert refusal == Refusal("tokens_day", 100, 1, 0, 97 * 900 - 61)


def test_more_than_a_limit_never_fits_and_zero_takes_nothing(counters: Counters):
    assert refused(counters, Limits(None, 100, None), 101, NOW) == Refusal(
        "tokens_minute", 100, 101, 100, None
    )
    assert refused(counters, Limits(0, None, None), 0, NOW).fits is None
    take(counters, Limits(None, 0, 0), 0, NOW)


def test_what_is_refused_takes_nothing_of_any_limit(counters: Counters):
    refused(counters, Limits(10, 10**6, 50), 51, NOW)
    assert counters.used("k", NOW) == Used()


def test_a_surplus_goes_back_to_where_it_was_taken_from(counters: Counters):
    limits = Limits(None, 100, None)
    held = take(counters, limits, 100, NOW)
    counters.settle(held, 30, NOW + 50)
    assert counters.used("k", NOW + 50).tokens_minute == 30
    take(counters, limits, 70, NOW + 50)
    assert counters.used("k", NOW + 61).tokens_minute == 70


def test_what_has_left_the_minute_does_not_come_back_to_it_but_to_the_day(counters: Counters):
    held = take(counters, Limits(), 100, NOW)
    counters.settle(held, 30, NOW + 100)
    assert counters.used("k", NOW + 100) == Used(0, 0, 30)
    held = take(counters, Limits(), 100, NOW + 100)
    counters.settle(held, 0, NOW + 100 + 98 * 900)
    assert counters.used("k", NOW + 100 + 98 * 900) == Used()


def test_a_deficit_is_taken_now_even_beyond_the_limit(counters: Counters):
    limits = Limits(None, 100, 1000)
    held = take(counters, limits, 100, NOW)
    counters.settle(held, 250, NOW + 30)
    assert counters.used("k", NOW + 30) == Used(1, 250, 250)
    assert refused(counters, limits, 1, NOW + 30).left == 0
    assert counters.used("k", NOW + 61) == Used(0, 150, 250)


def test_amounts_that_are_none_are_wrong_usage(counters: Counters):
    for amounts in (Amounts(-1, 0), Amounts(1, -1), Amounts(1, 2**50)):
        with pytest.raises(ValueError, match="amounts"):
            counters.reserve("k", Limits(), amounts, NOW)
    for key in ("", "k" * 300):
        with pytest.raises(ValueError, match="key"):
            counters.reserve(key, Limits(), Amounts(), NOW)
    take(counters, Limits(), 1, NOW)


class Plain:
    """The same by a list of what was taken when: a window is every slot that has not wholly left it."""

    def __init__(self) -> None:
        self.taken: list[list[float]] = []

    def used(self, now: float) -> Used:
        minute = [row for row in self.taken if int(row[0]) >= int(now) - 60]
        day = [row for row in self.taken if row[0] // 900 >= now // 900 - 96]
        return Used(
            int(sum(r[1] for r in minute)), int(sum(r[2] for r in minute)), int(sum(r[2] for r in day))
        )

    def exact(self, now: float, length: float) -> tuple[float, float]:
        """What a rolling window of exactly that length holds."""
        rows = [row for row in self.taken if row[0] > now - length]
        return sum(r[1] for r in rows), sum(r[2] for r in rows)

    def passes(self, limits: Limits, tokens: int, now: float) -> bool:
        used = self.used(now)
        asked = (1, tokens, tokens)
        return any(
            limit is not None and taken + more > limit
            for limit, taken, more in zip(limits, used, asked, strict=True)
        )


_LIMIT = st.none() | st.integers(0, 300)
_STEP = st.tuples(
    st.sampled_from(["reserve", "reserve", "reserve", "settle"]),
    st.sampled_from([0.0, 0.0, 0.3, 1.0, 7.7, 29.5, 60.0, 61.0, 899.0, 3600.0, 86_000.0]),
    st.integers(0, 150),
    st.integers(0, 50),
)


@settings(max_examples=3000 if PROVE else 150, deadline=None)
@given(
    limits=st.builds(Limits, st.none() | st.integers(0, 6), _LIMIT, st.none() | st.integers(0, 900)),
    steps=st.lists(_STEP, max_size=60),
    begin=st.floats(NOW, NOW + 2000),
)
def test_it_decides_as_a_plain_model_of_rolling_windows(tmp_path_factory, limits, steps, begin):
    path = tmp_path_factory.mktemp("plain") / "counters"
    counters, plain, now, held = Counters(path), Plain(), begin, []
    with contextlib.closing(counters):
        for what, pause, tokens, which in steps:
            now += pause
            if what == "settle" and held:
                reservation, row = held.pop(which % len(held))
                counters.settle(reservation, tokens, now)
                more = tokens - row[2]
                if more > 0:
                    plain.taken.append([now, 0, more])
                else:
                    row[2] = tokens
            elif what == "reserve":
                got = counters.reserve("k", limits, Amounts(1, tokens), now)
                assert isinstance(got, Refusal) == plain.passes(limits, tokens, now)
                if isinstance(got, Refusal):
                    _is_exact(plain, got, limits, tokens, now)
                else:
                    row = [now, 1, tokens]
                    plain.taken.append(row)
                    held.append((got, row))
                    _holds(plain, limits, now)
            assert counters.used("k", now) == plain.used(now)
            assert counters.used("k", now + 33) == plain.used(now + 33)
    path.unlink(missing_ok=True)


def _holds(plain: Plain, limits: Limits, now: float) -> None:
    """No rolling minute or day is over its limit."""
    requests, minute = plain.exact(now, 60)
    assert limits.requests is None or requests <= limits.requests
    assert limits.tokens_minute is None or minute <= limits.tokens_minute
    assert limits.tokens_day is None or plain.exact(now, 86_400)[1] <= limits.tokens_day


def _is_exact(plain: Plain, refusal: Refusal, limits: Limits, tokens: int, now: float) -> None:
    """It fits when it is said to, and not a moment before; what will never fit is bigger than a limit."""
    if refusal.fits is None:
        assert any(
            limit is not None and limit < asked
            for limit, asked in zip(limits, (1, tokens, tokens), strict=True)
        )
        return
    there = round(now + refusal.fits)
    assert not plain.passes(limits, tokens, there)
    assert plain.passes(limits, tokens, there - 0.01)


# --- the clock -------------------------------------------------------------------------------------------


def test_a_clock_set_back_by_moments_counts_on(counters: Counters):
    limits = Limits(None, 100, None)
    take(counters, limits, 60, NOW + 10)
    take(counters, limits, 40, NOW + 8)  # it was read before the other, and came later
    assert refused(counters, limits, 1, NOW + 9).left == 0
    take(counters, limits, 100, NOW + 71)


@pytest.mark.parametrize("back", [61, 3600, 10 * 86_400, 1_799_000_000])
def test_a_clock_set_back_keeps_the_age_of_everything(counters: Counters, back: int):
    limits = Limits(None, 100, 150)
    held = take(counters, limits, 60, NOW)
    take(counters, limits, 40, NOW + 30)
    then = NOW + 30 - back
    assert refused(counters, limits, 1, then).left == 0
    assert counters.used("k", then) == Used(2, 100, 100)
    assert counters.used("k", then + 31) == Used(1, 40, 100)
    counters.settle(held, 50, then)
    assert counters.used("k", then + 30) == Used(2, 90, 90)
    assert counters.used("k", then + 98 * 900) == Used()


def test_looking_with_a_wrong_clock_changes_nothing(counters: Counters):
    take(counters, Limits(), 60, NOW)
    for now in (0.0, NOW - 7000, NOW + 10**9):
        counters.used("k", now)
    assert counters.used("k", NOW) == Used(1, 60, 60)


def test_a_clock_far_ahead_and_set_right_again_refuses_nobody_for_long(counters: Counters):
    limits = Limits(None, 100, None)
    take(counters, limits, 100, NOW + 10**8)
    assert refused(counters, limits, 1, NOW).fits == 61
    take(counters, limits, 100, NOW + 61)


# --- buckets and notes -----------------------------------------------------------------------------------


def test_the_file_grows_and_others_see_it(counters: Counters, path: Path):
    other = Counters(path)
    assert other.keys() == ()
    names = [f"bucket {number}" for number in range(100)]
    for number, name in enumerate(names):
        take(counters if number % 2 else other, Limits(), number, NOW, name)
    for each in (counters, other):
        assert each.keys() == tuple(names)
        assert [each.used(name, NOW).tokens_minute for name in names] == list(range(100))
    assert counters.used("unheard of", NOW) == Used()
    assert len(counters.keys()) == 100
    other.close()


def test_each_bucket_keeps_its_last_note(counters: Counters):
    counters.write_note("a", "first", NOW)
    counters.write_note("b", "ü" * 600, NOW + 1)
    counters.write_note("a", "second", NOW + 2)
    newest, oldest = counters.notes()
    assert newest == ("a", NOW + 2, "second")
    assert set(oldest.text) == {"ü"}
    assert 200 < len(oldest.text) < 260
    assert counters.used("b", NOW) == Used()


def test_a_file_that_is_closed_is_opened_again_with_what_it_held(counters: Counters):
    held = take(counters, Limits(), 60, NOW)
    counters.close()
    counters.close()
    counters.settle(held, 20, NOW)
    assert counters.used("k", NOW) == Used(1, 20, 20)


# --- damage ----------------------------------------------------------------------------------------------


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def _row(word: int) -> int:
    return (module._HEADER + word) * 8


DAMAGE = {
    "nothing of ours": lambda path: path.write_bytes(os.urandom(5000)),
    "a few bytes": lambda path: path.write_bytes(b"OUT"),
    "zeros": lambda path: path.write_bytes(bytes(100_000)),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "an older version": lambda path: _flip(path, 8),
    "the header": lambda path: _flip(path, 25),
    "the number of rows": lambda path: _flip(path, module._ROWS * 8 + 3),
    "a sum": lambda path: _flip(path, _row(module._TOKENS_SUM)),
    "a slot": lambda path: _flip(path, _row(module._TOKENS + 5) + 7),
    "a key": lambda path: _flip(path, _row(module._KEY) + 2),
    "a key's length": lambda path: _flip(path, _row(module._KEY) + 1),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_broken_file_is_set_aside_and_begun_anew(counters: Counters, path: Path, caplog, damage):
    take(counters, Limits(), 60, NOW)
    counters.close()
    damage(path)
    found = path.read_bytes()
    assert counters.used("k", NOW) == Used()
    take(counters, Limits(), 7, NOW)
    assert counters.used("k", NOW) == Used(1, 7, 7)
    assert "set aside" in caplog.text
    aside = path.with_name("counters.broken").read_bytes()
    assert len(aside) == len(found)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_whoever_has_a_file_open_that_is_set_aside_goes_on_with_the_new_one(path: Path):
    first, second = Counters(path), Counters(path)
    held = take(first, Limits(), 60, NOW)
    with path.open("r+b") as file:
        file.seek(_row(module._TOKENS_SUM))
        file.write(b"\xff")
    take(second, Limits(), 5, NOW)
    take(first, Limits(), 6, NOW)
    assert second.used("k", NOW) == first.used("k", NOW) == Used(2, 11, 11)
    first.settle(held, 20, NOW)  # the new file never gave these: what they came to is all taken now
    assert second.used("k", NOW) == Used(2, 31, 31)
    first.close()
    second.close()


@pytest.mark.parametrize("how", ["deleted", "replaced", "cut off"])
def test_a_file_that_goes_away_under_us_is_begun_anew(path: Path, how: str):
    first, second = Counters(path), Counters(path)
    take(first, Limits(), 60, NOW)
    take(second, Limits(), 60, NOW)
    if how == "cut off":
        os.truncate(path, 100)
    elif how == "deleted":
        path.unlink()
    else:
        new = path.with_name("new")
        new.touch()
        new.replace(path)
    take(first, Limits(), 5, NOW)
    take(second, Limits(), 6, NOW)
    assert first.used("k", NOW) == Used(2, 11, 11)
    first.close()
    second.close()


def test_a_file_is_private_whoever_made_it(counters: Counters, path: Path):
    path.touch(0o666)
    path.chmod(0o644)
    take(counters, Limits(), 1, NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("there", ["a folder", "no folder"])
def test_what_can_not_be_opened_is_said_with_the_path(tmp_path: Path, there: str):
    path = tmp_path / "x" / "counters" if there == "no folder" else tmp_path
    with pytest.raises(OutcropError, match=str(path)) as error:
        Counters(path).used("k", NOW)
    assert error.value.fix


class Killed(BaseException):
    pass


class Dying:
    """The words of a file, until so many were written."""

    def __init__(self, words: memoryview, writes: int) -> None:
        self.words, self.left, self.release = words, writes, words.release

    def __getitem__(self, at):
        return self.words[at]

    def __setitem__(self, at, value):
        if not self.left:
            raise Killed
        self.left -= 1
        self.words[at] = value


@pytest.mark.parametrize("later", [0, 1, 59, 61, 900, 87_300, -3600])
@pytest.mark.parametrize("tokens", [-1, 10, 80])
def test_whoever_dies_between_two_writes_leaves_what_was_acknowledged(path: Path, caplog, later, tokens):
    """-1 is a further reservation, the others settle one of 50: at most what is being written is missing."""
    died = 0
    for writes in range(40):
        victim = Counters(path)
        acknowledged = take(victim, Limits(), 50, NOW)
        take(victim, Limits(), 100, NOW + min(later, 30))
        before = victim.used("k", NOW + later)
        assert victim._file is not None
        whole, victim._file.words = victim._file.words, Dying(victim._file.words, writes)
        try:
            if tokens < 0:
                take(victim, Limits(), 7, NOW + later)
            else:
                victim.settle(acknowledged, tokens, NOW + later)
        except Killed:
            died += 1
        victim._file.words = whole
        victim.close()
        with contextlib.closing(Counters(path)) as other:
            given, taken = max(50 - tokens, 0) if tokens >= 0 else 0, 7 if tokens < 0 else max(tokens - 50, 0)
            used = other.used("k", NOW + later)
            assert before.requests <= used.requests <= before.requests + 1
            for was, now in zip(before[1:], used[1:], strict=True):
                assert was - given <= now <= was + taken
            other.settle(take(other, Limits(), 5, NOW + later), 0, NOW + later)
            other.used("k", NOW + later + 100)
        path.unlink()
    assert died >= 6  # as many writes as the shortest has
    assert not caplog.records  # the file was never set aside


# --- several processes -----------------------------------------------------------------------------------


def test_a_child_that_was_forked_counts_with_a_lock_of_its_own(path: Path):
    done = subprocess.run(
        [sys.executable, PROGRAM, "forks", path], capture_output=True, text=True, check=True, timeout=60
    )
    assert json.loads(done.stdout)["used"] == [8001, 24_001, 24_001]


@contextlib.contextmanager
def _workers(number: int):
    command = [sys.executable, PROGRAM, "calls"]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_four_processes_of_two_hundred_calls_take_not_one_too_many_and_refunds_are_exact(tmp_path: Path):
    chance = random.Random(4)
    with _workers(4) as workers:
        for run in range(100 if PROVE else 3):
            path = tmp_path / f"counters {run}"
            rpm, tpm = chance.choice([(300, 10**9), (10**6, 300_000), (250, 260_000), (0, 10**9)])
            for worker in workers:
                _send(worker, [str(path), chance.random(), rpm, tpm])
            held = [_receive(worker) for worker in workers]
            each = 1000 + (4 * 10 + 15) // 10
            fit = min(rpm, tpm // each, 800)
            assert sum(each["held"] for each in held) == fit
            with contextlib.closing(Counters(path)) as counters:
                (key,) = counters.keys()
                # every call holds its reservation at this moment
                assert counters.used(key, NOW)[:2] == (fit, fit * each)
                for worker in workers:
                    _send(worker, "go on")
                done = [_receive(worker) for worker in workers]
                charged = sum(one["charged"] for one in done)
                assert sum(one["taken"] for one in done) == fit
                assert counters.used(key, NOW) == Used(fit, charged, charged)


def _send(worker: subprocess.Popen[str], order: object) -> None:
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(order) + "\n")
    worker.stdin.flush()


def _receive(worker: subprocess.Popen[str]) -> dict[str, int]:
    assert worker.stdout is not None
    return json.loads(worker.stdout.readline())


@pytest.mark.parametrize("clock", ["still", "moving"])
def test_killed_in_the_middle_it_has_counted_everything_that_was_acknowledged(path: Path, clock: str):
    """At most the one being written may be missing, or be there unacknowledged."""
    chance = random.Random(9)
    for run in range(100 if PROVE else 8):
        command = [sys.executable, PROGRAM, "until_killed", path, str(run), clock]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            first = worker.stdout.readline()  # it has begun
            time.sleep(chance.random() * 0.02)
            worker.send_signal(signal.SIGKILL)
            lines = [json.loads(line) for line in [first, *worker.stdout.read().splitlines()]]
        with contextlib.closing(Counters(path)) as counters:
            _is_accounted_for(counters, lines)
            take(counters, Limits(), 1, NOW)
        path.unlink()


def _is_accounted_for(counters: Counters, lines: list[dict]) -> None:
    expected = Plain()
    rows: dict[str, list[list[float]]] = {}
    for line in lines:
        if "reserved" in line:
            key, tokens = line["reserved"]
            row = [line["now"], 1, tokens]
            expected.taken.append(row)
            rows.setdefault(key, []).append(row)
        elif "settled" in line:
            key, before, after = line["settled"]
            row = next(row for row in rows[key] if row[2] == before)
            if after > before:
                expected.taken.append([line["now"], 0, after - before])
            else:
                row[2] = after
    now = lines[-1]["now"]  # of the last that was begun
    used = [counters.used(key, now) for key in counters.keys()]  # noqa: SIM118 - no mapping
    was = expected.used(now)
    started = lines[-1].get("before", 0)  # a settlement that was begun may have given this back
    assert sum(each.requests for each in used) >= was.requests
    assert sum(each.requests for each in used) <= was.requests + 1
    assert sum(each.tokens_day for each in used) >= was.tokens_day - started
    assert sum(each.tokens_day for each in used) <= was.tokens_day + 3000
