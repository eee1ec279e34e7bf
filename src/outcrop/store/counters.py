"""Rolling windows that several processes of one machine share: a mapped file of counters, under one lock.

Knows slots, sums and time; not what is counted, nor why. A row is a bucket, named by a text: requests and
tokens of the last minute in slots of one second, tokens of the last day in slots of 15 minutes. A window has
one slot more than it is long, since the oldest has only partly passed: so no rolling minute or day ever holds
more than its limit, and what was taken comes back up to one slot late.

    header   magic, version, words in a row, birth, checksum of these, rows, retired        (64-bit words)
    row      unfinished, second, tick, quarter, day tick, three totals, three rings, key, note

A row counts its own ticks, and remembers which second of the clock the last one was. So when the clock is set
back, everything keeps the age it had; set forward, it ages. A process that dies while it writes leaves
`unfinished` set, and the next one adds the slots up again. `flock` (0.9 us a pair) is held for microseconds;
a SQLite transaction costs 14 us and waits by polling, for numbers that need not outlive their windows.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import mmap
import os
import threading
import time
import weakref
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from outcrop.errors import OutcropError

log = logging.getLogger("outcrop.store")

NAME: Final = "quotas.counters"  # in the data folder

MINUTE: Final = 61  # slots of a second: 60, and the one that has partly passed
DAY: Final = 97  # slots of a quarter of an hour
QUARTER: Final = 900

# How far a `now` may lie behind the newest before it means that the clock was set back: processes read the
# clock before they wait for the lock, and time servers correct it by moments.
_PATIENCE: Final = 60
# Sums of so many still fit a word with room to spare.
_MOST: Final = 2**48

_MAGIC: Final = int.from_bytes(b"OUTCROPQ", "little")
_VERSION: Final = 1
_WORD: Final = 8

# the header's words
_BIRTH, _CHECKSUM, _ROWS, _RETIRED, _HEADER = 3, 4, 5, 6, 8
# a row's words
_UNFINISHED, _SECOND, _TICK, _QUARTER_OF, _DAY_TICK = 0, 1, 2, 3, 4
_REQUESTS_SUM, _TOKENS_SUM, _DAY_SUM = 5, 6, 7
_REQUESTS: Final = 8
_TOKENS: Final = _REQUESTS + MINUTE
_DAYS: Final = _TOKENS + MINUTE
_KEY: Final = _DAYS + DAY
_KEY_WORDS: Final = 32
_NOTE: Final = _KEY + _KEY_WORDS
_NOTE_WORDS: Final = 64
_ROW: Final = _NOTE + _NOTE_WORDS

_LONGEST_KEY: Final = _KEY_WORDS * _WORD - 2
_LONGEST_NOTE: Final = _NOTE_WORDS * _WORD - 10
_GROWTH: Final = 16  # rows

_RINGS: Final = (
    (_REQUESTS, MINUTE, _REQUESTS_SUM),
    (_TOKENS, MINUTE, _TOKENS_SUM),
    (_DAYS, DAY, _DAY_SUM),
)

_LOCK_PATIENCE: Final = 0.25  # seconds
_FIRST_PAUSE: Final = 10e-6
_LONGEST_PAUSE: Final = 1e-3
Words: TypeAlias = memoryview  # of the whole file, as signed 64-bit words
LimitName: TypeAlias = Literal["requests", "tokens_minute", "tokens_day"]


class Limits(NamedTuple):
    """The most that may be taken within a rolling minute and day; None is no limit."""

    requests: int | None = None
    tokens_minute: int | None = None
    tokens_day: int | None = None


class Amounts(NamedTuple):
    """What is to be taken."""

    requests: int = 1
    tokens: int = 0


class Used(NamedTuple):
    """What the windows hold."""

    requests: int = 0
    tokens_minute: int = 0
    tokens_day: int = 0


class Reservation(NamedTuple):
    """What was taken, to be settled once. The ticks say from which slots, `birth` of which file."""

    key: str
    tokens: int
    tick: int
    day_tick: int
    birth: int


class Refusal(NamedTuple):
    """Nothing was taken. `limit` is the first, in the order of `Limits`, that would be passed.

    `left` is what it has left of `ceiling`. `fits` is in how many seconds all limits will allow it, when
    nothing else is taken or returned until then; None when a limit itself is smaller than what was asked.
    """

    limit: LimitName
    ceiling: int
    asked: int
    left: int
    fits: float | None


class Note(NamedTuple):
    """A line kept with a bucket, and when it was written (epoch seconds)."""

    key: str
    written: float
    text: str


class Counters:
    """The counters in the file `path`, made at first use (mode 0600). Threads, processes, forks may share it.

    Every `now` is in seconds of the wall clock. A file that is broken, or of another version, is set aside as
    `<path>.broken` with a warning, and begun anew: what it held would have been forgotten within a day. All
    methods raise OutcropError when the file can't be made or opened.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = os.fspath(path)
        self._threads = threading.Lock()
        self._file: _File | None = None
        _ALIVE.add(self)

    def reserve(self, key: str, limits: Limits, amounts: Amounts, now: float) -> Reservation | Refusal:
        """Take `amounts` from the bucket, or nothing. Raises ValueError for amounts not from 0 to 2**48."""
        requests, tokens = amounts
        if not (0 <= requests <= _MOST and 0 <= tokens <= _MOST):
            raise ValueError(f"amounts are from 0 to {_MOST}, not {amounts}")
        file = self._take()
        try:
            base = file.row(key)
            words = file.words
            _move_on(words, base, int(now))
            if _passes(words, base, limits, amounts):
                return _refusal(words, base, limits, amounts, now)
            tick, day_tick = words[base + _TICK], words[base + _DAY_TICK]
            _add(words, base, requests, tokens, tick, day_tick)
            return Reservation(key, tokens, tick, day_tick, file.birth)
        finally:
            self._give(file)

    def settle(self, reservation: Reservation, tokens: int, now: float) -> None:
        """Replace the tokens that were reserved by those it came to.

        A surplus goes back to the slots it was taken from, where they still count. A deficit is taken now,
        even beyond the limits: it has been spent.
        """
        more = min(max(tokens, 0), _MOST) - reservation.tokens
        if not more:
            return
        file = self._take()
        try:
            base = file.row(reservation.key)
            words = file.words
            _move_on(words, base, int(now))
            tick, day_tick = words[base + _TICK], words[base + _DAY_TICK]
            if reservation.birth != file.birth:  # this file never heard of the reservation
                _add(words, base, 0, more + reservation.tokens, tick, day_tick)
            elif more > 0:
                _add(words, base, 0, more, tick, day_tick)
            else:
                _give_back(words, base, -more, reservation)
        finally:
            self._give(file)

    def used(self, key: str, now: float) -> Used:
        """What the bucket's windows hold at `now`. Changes nothing, whatever `now` is."""
        file = self._take()
        try:
            base = file.find(key)
            return Used() if base is None else _used(file.words, base, int(now))
        finally:
            self._give(file)

    def keys(self) -> tuple[str, ...]:
        """The buckets there are, in the order in which they were first used."""
        file = self._take()
        try:
            file.learn()
            return tuple(file.bases)
        finally:
            self._give(file)

    def write_note(self, key: str, text: str, now: float) -> None:
        """Keep a line with a bucket, in place of its last one. Cut after some 500 bytes."""
        file = self._take()
        try:
            file.write_note(file.row(key), text, now)
        finally:
            self._give(file)

    def notes(self) -> tuple[Note, ...]:
        """The line of each bucket that has one, the newest first."""
        file = self._take()
        try:
            file.learn()
            found = [(key, file.read_note(base)) for key, base in file.bases.items()]
        finally:
            self._give(file)
        notes = [Note(key, *told) for key, told in found if told is not None]
        return tuple(sorted(notes, key=lambda note: -note.written))

    def close(self) -> None:
        """Let go of the file. Idempotent; the next use opens it again."""
        with self._threads:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _take(self) -> _File:
        """The file, locked against everybody else."""
        self._threads.acquire()
        try:
            while True:
                if self._file is None:
                    self._file = _open(self._path)
                    return self._file
                _lock(self._file.fd, self._path)
                if self._file.current():
                    return self._file
                self._file.close()
                self._file = None
        except BaseException:
            if self._file is not None:
                self._file.close()
                self._file = None
            self._threads.release()
            raise

    def _give(self, file: _File) -> None:
        fcntl.flock(file.fd, fcntl.LOCK_UN)
        self._threads.release()

    def _forked(self) -> None:
        """A child has its parent's lock until it opens the file itself; who held `_threads` is not here."""
        self._threads = threading.Lock()
        if self._file is not None:
            self._file.close()
            self._file = None


_ALIVE: Final[weakref.WeakSet[Counters]] = weakref.WeakSet()


def _after_fork() -> None:
    for counters in _ALIVE:
        counters._forked()


os.register_at_fork(after_in_child=_after_fork)


# --- the file ---------------------------------------------------------------------------------------------


class _File:
    """An open file and its mapping. Every method but `close` needs the lock."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._size = _whole_words(fd)
        self._map = mmap.mmap(fd, self._size)
        self.words: Words = memoryview(self._map).cast("q")
        self.birth: int = self.words[_BIRTH]
        self.bases: dict[str, int] = {}

    def current(self) -> bool:
        """Whether this is still the file to use: not deleted, not set aside, not cut off."""
        stat = os.fstat(self.fd)
        # the size before anything is looked at: a page beyond the end would kill the process
        return stat.st_nlink > 0 and stat.st_size >= self._size and not self.words[_RETIRED]

    def find(self, key: str) -> int | None:
        """Where the bucket's row begins; None when it has none."""
        base = self.bases.get(key)
        if base is None:
            self.learn()
            base = self.bases.get(key)
        return base

    def row(self, key: str) -> int:
        """Where the bucket's row begins, made when there is none."""
        base = self.bases.get(key)
        return self._new_row(key) if base is None and (base := self.find(key)) is None else base

    def learn(self) -> None:
        """Read the keys of the rows that others have added. Raises ValueError when one is no key."""
        rows = self.words[_ROWS]
        if len(self.bases) < rows and _bytes_of(rows) > self._size:
            self._map_again()
        for number in range(len(self.bases), rows):
            base = _HEADER + number * _ROW
            self.bases[self._text(base + _KEY, _LONGEST_KEY)] = base

    def _new_row(self, key: str) -> int:
        written = key.encode()
        if not 0 < len(written) <= _LONGEST_KEY:
            raise ValueError(f"a bucket's key has 1 to {_LONGEST_KEY} bytes, not {len(written)}")
        rows = self.words[_ROWS]
        if _bytes_of(rows + 1) > self._size:
            self._grow(rows)
        base = _HEADER + rows * _ROW
        start = base * _WORD
        # whoever died here before us may have left something
        self._map[start : start + _ROW * _WORD] = bytes(_ROW * _WORD)
        self._write_text(base + _KEY, written)
        self.words[_ROWS] = rows + 1  # from here on there is such a row
        self.bases[key] = base
        return base

    def _grow(self, rows: int) -> None:
        """Room for more. Written, not only lengthened: a full disk must fail here, not kill us later."""
        missing = _bytes_of(rows + _GROWTH) - self._size
        try:
            if os.pwrite(self.fd, bytes(missing), self._size) != missing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise OutcropError(
                f"The quota counters can't grow: {error.strerror}.", "See that the disk has room."
            ) from error
        self._map_again()

    def _map_again(self) -> None:
        self._unmap()
        self._size = _whole_words(self.fd)
        self._map = mmap.mmap(self.fd, self._size)
        self.words = memoryview(self._map).cast("q")

    def _text(self, word: int, longest: int) -> str:
        start = word * _WORD
        length = int.from_bytes(self._map[start : start + 2], "little")
        if not 0 < length <= longest:
            raise ValueError(f"a text of {length} bytes")
        return self._map[start + 2 : start + 2 + length].decode()

    def _write_text(self, word: int, text: bytes) -> None:
        start = word * _WORD
        self._map[start : start + 2 + len(text)] = len(text).to_bytes(2, "little") + text

    def write_note(self, base: int, text: str, now: float) -> None:
        """The moment is written last: without one there is no note."""
        written = text.encode()[:_LONGEST_NOTE].decode(errors="ignore").encode()
        self.words[base + _NOTE] = 0
        self._write_text(base + _NOTE + 1, written)
        self.words[base + _NOTE] = int(now * 1000) if written else 0

    def read_note(self, base: int) -> tuple[float, str] | None:
        """When a note was written, and the note."""
        moment = self.words[base + _NOTE]
        return (moment / 1000, self._text(base + _NOTE + 1, _LONGEST_NOTE)) if moment else None

    def check(self) -> None:
        """Raises ValueError when anything in it can't be."""
        rows = self.words[_ROWS]
        if rows < 0 or _bytes_of(rows) > self._size:
            raise ValueError(f"{rows} rows in {self._size} bytes")
        self.learn()
        if len(self.bases) != rows:
            raise ValueError("two rows for one bucket")
        for base in self.bases.values():
            _check_row(self.words, base)
            self.read_note(base)

    def close(self) -> None:
        """Unmap and close, which gives up the lock where no other process has the same descriptor."""
        self._unmap()
        os.close(self.fd)

    def _unmap(self) -> None:
        self.words.release()
        self._map.close()


def _whole_words(fd: int) -> int:
    """The size of a file: what was killed while it grew may have left a part of a word."""
    return os.fstat(fd).st_size // _WORD * _WORD


def _bytes_of(rows: int) -> int:
    return (_HEADER + rows * _ROW) * _WORD


def _open(path: str) -> _File:
    """The file, locked. Raises OutcropError when it can't be made or opened."""
    try:
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                file = _adopt(fd, path)
            except BaseException:
                os.close(fd)
                raise
            if file is not None:
                return file
            os.close(fd)
    except OSError as error:
        raise OutcropError(
            f"The quota counters in {path} can't be opened: {error.strerror}.",
            "Check the folder and who may write there, or move the file away: it is made anew.",
        ) from error


def _lock(fd: int, path: str) -> None:
    """Take the lock. It is held for microseconds, and so only a process that was stopped keeps it for long:
    the event loop that calls this does not wait for that one. Raises OutcropError."""
    pause, until = _FIRST_PAUSE, time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise OutcropError(
                    f"The quota counters in {path} are locked by a process that does not go on.",
                    "Look for an Outcrop that is stopped (state T in `ps`), and end it.",
                ) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        else:
            return


def _adopt(fd: int, path: str) -> _File | None:
    """The open file, locked and checked; None when it is not the file to use and another has to be opened."""
    _lock(fd, path)
    if not _is_at(fd, path):  # set aside or deleted while we waited
        return None
    os.fchmod(fd, 0o600)
    if os.fstat(fd).st_size == 0:
        _begin(fd)
    try:
        return _checked(fd)
    except ValueError as error:
        _set_aside(fd, path, str(error))
        return None


def _is_at(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False


def _begin(fd: int) -> None:
    """Write an empty file. The magic comes last: what has none is broken."""
    facts = b"".join(
        number.to_bytes(_WORD, "little") for number in (_MAGIC, _VERSION, _ROW, time.time_ns() ^ os.getpid())
    )
    rest = zlib.crc32(facts).to_bytes(_WORD, "little") + bytes(_bytes_of(_GROWTH) - len(facts) - _WORD)
    if os.pwrite(fd, facts[_WORD:] + rest, _WORD) != len(facts) - _WORD + len(rest):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.pwrite(fd, facts[:_WORD], 0)


def _checked(fd: int) -> _File:
    """Raises ValueError for a file that is none of ours, of another version, or damaged."""
    header = os.pread(fd, _HEADER * _WORD, 0)
    numbers = [int.from_bytes(header[at : at + _WORD], "little") for at in range(0, len(header), _WORD)]
    if len(header) < _HEADER * _WORD or numbers[0] != _MAGIC:
        raise ValueError("it is no file of counters")
    if zlib.crc32(header[: _CHECKSUM * _WORD]) != numbers[_CHECKSUM]:
        raise ValueError("its header is damaged")
    if numbers[1:3] != [_VERSION, _ROW]:
        raise ValueError(f"it is of version {numbers[1]}, and this is version {_VERSION}")
    file = _File(fd)
    try:
        file.check()
    except ValueError:
        file._unmap()  # the descriptor is the caller's to close
        raise
    return file


def _set_aside(fd: int, path: str, why: str) -> None:
    log.warning("%s is set aside as %s.broken and begun anew: %s", path, path, why)
    if os.fstat(fd).st_size >= _HEADER * _WORD:
        os.pwrite(
            fd, b"\x01", _RETIRED * _WORD
        )  # whoever still has it mapped sees that and opens the new one
    os.replace(path, f"{path}.broken")


def _check_row(words: Words, base: int) -> None:
    for ring, size, total in _RINGS:
        slots = words[base + ring : base + ring + size].tolist()
        if min(slots) < 0 or not (words[base + _UNFINISHED] or sum(slots) == words[base + total]):
            raise ValueError("its sums are wrong")


# --- the windows ------------------------------------------------------------------------------------------


def _move_on(words: Words, base: int, second: int) -> None:
    """Bring a row to `second`: slots that have left their windows are emptied."""
    if words[base + _UNFINISHED]:
        _repair(words, base)
    passed = second - words[base + _SECOND]
    if passed == 0:
        return
    if passed < 0:
        if passed < -_PATIENCE:  # the clock was set back: everything keeps its age
            words[base + _QUARTER_OF] = second // QUARTER
            words[base + _SECOND] = second
        return
    words[base + _UNFINISHED] = 1
    # the time first, then the tick, and the day first: whoever dies in between leaves what was taken younger
    # than it is, never older
    quarter = second // QUARTER
    quarters = quarter - words[base + _QUARTER_OF]
    if quarters > 0:
        day_tick = words[base + _DAY_TICK]
        words[base + _DAY_SUM] -= _empty(words, base + _DAYS, DAY, day_tick, quarters)
        words[base + _QUARTER_OF] = quarter
        words[base + _DAY_TICK] = day_tick + quarters
    tick = words[base + _TICK]
    for ring, size, total in _RINGS[:2]:
        words[base + total] -= _empty(words, base + ring, size, tick, passed)
    words[base + _SECOND] = second
    words[base + _TICK] = tick + passed
    words[base + _UNFINISHED] = 0


def _repair(words: Words, base: int) -> None:
    for ring, size, total in _RINGS:
        words[base + total] = sum(words[base + ring : base + ring + size])
    words[base + _UNFINISHED] = 0


def _leaving(size: int, tick: int, passed: int) -> Iterator[int]:
    """The slots of a ring that leave their window when so many ticks pass."""
    return ((tick + step) % size for step in range(1, min(passed, size) + 1))


def _empty(words: Words, ring: int, size: int, tick: int, passed: int) -> int:
    """Empty the slots that leave; returns what they held."""
    held = 0
    for slot in _leaving(size, tick, passed):
        if words[ring + slot]:
            held += words[ring + slot]
            words[ring + slot] = 0
    return held


def _add(words: Words, base: int, requests: int, tokens: int, tick: int, day_tick: int) -> None:
    words[base + _UNFINISHED] = 1
    minute = tick % MINUTE
    words[base + _REQUESTS + minute] += requests
    words[base + _TOKENS + minute] += tokens
    words[base + _DAYS + day_tick % DAY] += tokens
    words[base + _REQUESTS_SUM] += requests
    words[base + _TOKENS_SUM] += tokens
    words[base + _DAY_SUM] += tokens
    words[base + _UNFINISHED] = 0


def _give_back(words: Words, base: int, tokens: int, taken: Reservation) -> None:
    words[base + _UNFINISHED] = 1
    if words[base + _TICK] - taken.tick < MINUTE:
        words[base + _TOKENS + taken.tick % MINUTE] -= tokens
        words[base + _TOKENS_SUM] -= tokens
    if words[base + _DAY_TICK] - taken.day_tick < DAY:
        words[base + _DAYS + taken.day_tick % DAY] -= tokens
        words[base + _DAY_SUM] -= tokens
    words[base + _UNFINISHED] = 0


def _passes(words: Words, base: int, limits: Limits, amounts: Amounts) -> bool:
    """Whether any limit would be passed."""
    requests, minute, day = limits
    return (
        (requests is not None and words[base + _REQUESTS_SUM] + amounts[0] > requests)
        or (minute is not None and words[base + _TOKENS_SUM] + amounts[1] > minute)
        or (day is not None and words[base + _DAY_SUM] + amounts[1] > day)
    )


def _refusal(words: Words, base: int, limits: Limits, amounts: Amounts, now: float) -> Refusal:
    rows: tuple[tuple[LimitName, int | None, int], ...] = (
        ("requests", limits.requests, amounts.requests),
        ("tokens_minute", limits.tokens_minute, amounts.tokens),
        ("tokens_day", limits.tokens_day, amounts.tokens),
    )
    passed: list[Refusal] = []
    for (name, ceiling, asked), (ring, size, total) in zip(rows, _RINGS, strict=True):
        over = 0 if ceiling is None else words[base + total] + asked - ceiling
        if ceiling is None or over <= 0:
            continue
        fits = None if asked > ceiling else _moment(words, base, ring, size, over) - now
        passed.append(Refusal(name, ceiling, asked, max(ceiling - words[base + total], 0), fits))
    waits = [refusal.fits for refusal in passed]
    longest = None if None in waits else max(wait for wait in waits if wait is not None)
    return passed[0]._replace(fits=longest)


def _moment(words: Words, base: int, ring: int, size: int, over: int) -> int:
    """The second at which so much of a ring has left its window. It holds at least that much."""
    minute = size == MINUTE
    tick = words[base + (_TICK if minute else _DAY_TICK)]
    left, steps = 0, 0
    for slot in _leaving(size, tick, size):
        steps += 1
        left += words[base + ring + slot]
        if left >= over:
            break
    if minute:
        return int(words[base + _SECOND]) + steps
    return (int(words[base + _QUARTER_OF]) + steps) * QUARTER


def _used(words: Words, base: int, second: int) -> Used:
    if words[base + _UNFINISHED]:
        _repair(words, base)
    passed = max(second - words[base + _SECOND], 0)
    quarters = max(second // QUARTER - words[base + _QUARTER_OF], 0)
    sums = []
    for ring, size, total in _RINGS:
        minute = size == MINUTE
        tick, steps = (words[base + _TICK], passed) if minute else (words[base + _DAY_TICK], quarters)
        gone = sum(words[base + ring + slot] for slot in _leaving(size, tick, steps))
        sums.append(words[base + total] - gone)
    return Used(*sums)
