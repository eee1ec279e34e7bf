"""What every store must pass. A store's test module subclasses `StoreSuite` and says how to open one.

    class TestSqlite(StoreSuite):
        @pytest.fixture
        @staticmethod
        def open_store(tmp_path):
            return lambda: SqliteStore(tmp_path / "state.db")

`open_store` opens the same state every time it is called, so that two of them are two users of one state.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from typing import Any, ClassVar

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from outcrop.errors import OutcropError
from outcrop.store import Record, Snapshot, Store, Transaction


class Fruit(Record, frozen=True):
    KIND: ClassVar[str] = "fruit"

    name: str
    colour: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.name


class Stone(Record, frozen=True):
    KIND: ClassVar[str] = "stone"

    number: int

    @property
    def key(self) -> str:
        return str(self.number)


class RicherFruit(Record, frozen=True):
    """What a later version makes of fruit."""

    KIND: ClassVar[str] = "fruit"

    name: str
    colour: str = ""
    weight: int = 5

    @property
    def key(self) -> str:
        return self.name


class OtherFruit(Record, frozen=True):
    """What no version should make of fruit."""

    KIND: ClassVar[str] = "fruit"

    name: int

    @property
    def key(self) -> str:
        return str(self.name)


Opener = Callable[[], Store]


def put(*records: Record) -> Callable[[Transaction], None]:
    return lambda changes: [changes.put(record) for record in records] and None  # type: ignore[func-returns-value]


def delete(kind: type[Record], key: str) -> Callable[[Transaction], bool]:
    return lambda changes: changes.delete(kind, key)


def names(state: Any) -> list[str]:
    return [fruit.name for fruit in state.all(Fruit)]


def count_fruit(snapshot: Snapshot) -> int:
    return len(snapshot.all(Fruit))


class GaveUpError(Exception):
    pass


class StoreSuite:
    """Subclassed by the test module of each store."""

    @pytest.fixture
    def store(self, open_store: Opener) -> Iterator[Store]:
        with closing(open_store()) as store:
            yield store

    @pytest.fixture
    def other(self, store: Store, open_store: Opener) -> Iterator[Store]:
        with closing(open_store()) as other:
            yield other

    def test_a_new_state_is_empty(self, store: Store) -> None:
        snapshot = store.snapshot()

        assert (snapshot.get(Fruit, "pear"), snapshot.all(Fruit)) == (None, ())

    def test_what_was_put_is_there_in_the_order_of_the_keys(self, store: Store) -> None:
        store.change(put(Fruit("pear"), Fruit("apple", "red", {"ä": "\0\n✓"}), Stone(7)))
        snapshot = store.snapshot()

        assert snapshot.all(Fruit) == (Fruit("apple", "red", {"ä": "\0\n✓"}), Fruit("pear"))
        assert snapshot.get(Fruit, "apple") is snapshot.get(Fruit, "apple")
        assert snapshot.all(Fruit) is snapshot.all(Fruit)
        assert snapshot.get(Stone, "7") == Stone(7)
        assert snapshot.get(Stone, "apple") is None

    def test_a_put_replaces_and_a_delete_removes(self, store: Store) -> None:
        store.change(put(Fruit("apple", "red"), Fruit("pear")))
        store.change(put(Fruit("apple", "green")))

        assert store.change(delete(Fruit, "pear")) is True
        assert store.change(delete(Fruit, "pear")) is False
        assert store.snapshot().all(Fruit) == (Fruit("apple", "green"),)

        store.change(put(Fruit("pear", "new")))
        assert store.snapshot().get(Fruit, "pear") == Fruit("pear", "new")

    def test_any_text_may_be_a_key(self, store: Store, other: Store) -> None:
        keys = ["", " ", "arn:aws:iam::1:user/a+b", "ä%/?\\'\"", "null\0byte", "x" * 5000]
        store.change(put(*map(Fruit, keys)))

        assert names(other.snapshot()) == sorted(keys)

    def test_a_snapshot_never_changes(self, store: Store) -> None:
        store.change(put(Fruit("apple", "red"), Fruit("pear")))
        before = store.snapshot()
        store.change(lambda changes: (changes.put(Fruit("apple", "green")), changes.delete(Fruit, "pear")))

        assert before.all(Fruit) == (Fruit("apple", "red"), Fruit("pear"))
        assert before.get(Fruit, "pear") == Fruit("pear")
        assert store.snapshot().all(Fruit) == (Fruit("apple", "green"),)

    def test_a_snapshot_is_the_same_object_while_nothing_changes(self, store: Store, other: Store) -> None:
        store.change(put(Fruit("apple", "red")))
        before = store.snapshot()

        store.change(lambda changes: changes.get(Fruit, "apple"))
        other.change(put(Fruit("apple", "red")))
        other.change(lambda changes: (changes.put(Fruit("pear")), changes.delete(Fruit, "pear")))
        other.change(delete(Fruit, "nothing"))
        assert store.snapshot() is before

        other.change(put(Fruit("apple", "green")))
        after = store.snapshot()
        assert after is not before
        assert after.version > before.version
        assert store.snapshot() is after

    def test_what_is_derived_is_made_once_for_each_snapshot(self, store: Store) -> None:
        made = []

        def count(snapshot: Snapshot) -> int:
            made.append(snapshot)
            return snapshot.derived(count_fruit)  # one may rest on another

        store.change(put(Fruit("apple")))
        first = store.snapshot()
        assert [first.derived(count), first.derived(count)] == [1, 1]
        store.change(put(Fruit("pear")))
        second = store.snapshot()

        assert (second.derived(count), first.derived(count)) == (2, 1)
        assert made == [first, second]

    def test_threads_that_ask_at_once_make_it_once(self, store: Store) -> None:
        barrier, made = threading.Barrier(8), []

        def count(snapshot: Snapshot) -> list[int]:
            made.append(1)
            return made

        def ask(_: int) -> list[int]:
            barrier.wait()
            return store.snapshot().derived(count)

        with ThreadPoolExecutor(8) as pool:
            assert all(each is made for each in pool.map(ask, range(8)))
        assert made == [1]

    def test_a_change_sees_what_it_did_and_nobody_else_does_yet(self, store: Store, other: Store) -> None:
        store.change(put(Fruit("apple"), Fruit("pear")))

        def work(changes: Transaction) -> list[str]:
            changes.put(Fruit("cherry"))
            assert changes.delete(Fruit, "pear") is True
            assert changes.delete(Fruit, "pear") is False
            assert changes.get(Fruit, "pear") is None
            assert changes.get(Fruit, "cherry") == Fruit("cherry")
            assert changes.all(Stone) == ()
            assert names(store.snapshot()) == names(other.snapshot()) == ["apple", "pear"]
            return names(changes)

        assert store.change(work) == ["apple", "cherry"]
        assert names(other.snapshot()) == ["apple", "cherry"]

    def test_a_change_begins_with_what_others_have_done(self, store: Store, other: Store) -> None:
        other.change(put(Fruit("apple")))

        assert store.change(names) == ["apple"]

    @pytest.mark.parametrize("error", [GaveUpError, OutcropError("no"), KeyboardInterrupt])
    def test_nothing_of_a_change_that_raises_is_kept(
        self, store: Store, open_store: Opener, error: Any
    ) -> None:
        store.change(put(Fruit("apple")))
        before = store.snapshot()

        def work(changes: Transaction) -> None:
            changes.put(Fruit("pear"))
            changes.delete(Fruit, "apple")
            raise error

        with pytest.raises((GaveUpError, OutcropError, KeyboardInterrupt)) as raised:
            store.change(work)
        assert raised.value is error or raised.type is error
        assert store.snapshot() is before
        with closing(open_store()) as again:
            assert names(again.snapshot()) == ["apple"]
        store.change(put(Fruit("pear")))
        assert names(store.snapshot()) == ["apple", "pear"]

    def test_a_change_within_a_change_is_refused(self, store: Store) -> None:
        with pytest.raises(RuntimeError, match="inside"):
            store.change(lambda _: store.change(put(Fruit("apple"))))
        assert names(store.snapshot()) == []

    def test_what_was_kept_is_there_when_opened_again(self, store: Store, open_store: Opener) -> None:
        store.change(put(Fruit("apple"), Stone(1)))
        store.change(delete(Stone, "1"))
        version = store.snapshot().version
        store.close()
        store.close()

        with closing(open_store()) as again:
            assert names(again.snapshot()) == ["apple"]
            assert again.snapshot().all(Stone) == ()
            assert again.snapshot().version == version

    def test_a_closed_store_says_so(self, store: Store) -> None:
        store.close()

        with pytest.raises(RuntimeError, match="close"):
            store.change(put(Fruit("apple")))

    def test_changes_of_many_threads_and_stores_all_count(self, store: Store, other: Store) -> None:
        def add(number: int) -> None:
            def work(changes: Transaction) -> None:
                old = changes.get(Fruit, "sum")
                changes.put(Fruit("sum", str(int(old.colour if old else "0") + 1)))
                changes.put(Stone(number))

            (store, other)[number % 2].change(work)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(60)))
        for each in (store, other):
            assert each.snapshot().get(Fruit, "sum") == Fruit("sum", "60")
            assert len(each.snapshot().all(Stone)) == 60

    def test_readers_never_see_half_a_change(self, store: Store, other: Store) -> None:
        done = threading.Event()

        def write() -> None:
            for number in range(40):
                store.change(put(Fruit("left", str(number)), Fruit("right", str(number))))
            done.set()

        def read() -> int:
            seen = 0
            while not done.is_set():
                snapshot = other.snapshot()
                left, right = snapshot.get(Fruit, "left"), snapshot.get(Fruit, "right")
                assert (left and left.colour) == (right and right.colour)
                seen += 1
            return seen

        with ThreadPoolExecutor(3) as pool:
            reading = [pool.submit(read) for _ in range(2)]
            pool.submit(write).result()
            assert all(each.result() > 0 for each in reading)

    def test_older_records_are_read_with_the_defaults_of_new_members(
        self, store: Store, other: Store
    ) -> None:
        store.change(put(Fruit("apple", "red")))

        assert other.snapshot().get(RicherFruit, "apple") == RicherFruit("apple", "red", 5)
        assert other.snapshot().all(Fruit) == (Fruit("apple", "red"),)
        assert other.snapshot().all(RicherFruit) == (RicherFruit("apple", "red", 5),)

    def test_a_record_that_does_not_fit_is_an_error_in_words(self, store: Store, other: Store) -> None:
        store.change(put(Fruit("apple", "secret")))

        with pytest.raises(OutcropError, match="fruit 'apple'") as refused:
            other.snapshot().get(OtherFruit, "apple")
        assert "secret" not in str(refused.value)
        assert "version" in refused.value.fix
        assert other.change(delete(OtherFruit, "apple")) is True  # so there is a way out

    def test_kinds_nobody_knows_survive(self, store: Store, open_store: Opener) -> None:
        store.change(put(Stone(1), Fruit("apple")))
        store.close()
        with closing(open_store()) as without_stones:
            without_stones.change(put(Fruit("pear")))
            without_stones.change(delete(Fruit, "apple"))
        with closing(open_store()) as again:
            assert again.snapshot().all(Stone) == (Stone(1),)

    def test_any_order_of_changes_is_what_a_dict_would_do(self, tmp_path_factory: Any, open_at: Any) -> None:
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            lambda: AgainstDict(lambda: open_at(tmp_path_factory.mktemp("state"))), settings=EXAMPLES
        )


EXAMPLES = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)

FRUIT = st.builds(Fruit, st.sampled_from("abcdef"), st.sampled_from(["", "red", "blue"]))
STONE = st.builds(Stone, st.integers(0, 4))
STEPS = st.lists(
    st.one_of(FRUIT, STONE, st.tuples(st.just(Fruit), st.sampled_from("abcdef"))), min_size=1, max_size=4
)


class AgainstDict(RuleBasedStateMachine):
    """Two stores of one state, and a dict that is told the same."""

    held = Bundle("held")

    def __init__(self, fresh: Callable[[], Opener]) -> None:
        super().__init__()
        self._open = fresh()
        self._closing = ExitStack()
        self._stores = [self._open(), self._open()]
        self._model: dict[tuple[str, str], Record] = {}

    def teardown(self) -> None:
        for store in self._stores:
            store.close()

    def _take(self, steps: list[Any], target: dict[tuple[str, str], Record], changes: Transaction) -> None:
        for step in steps:
            if isinstance(step, Record):
                changes.put(step)
                target[step.KIND, step.key] = step
            else:
                kind, key = step
                assert changes.delete(kind, key) is (target.pop((kind.KIND, key), None) is not None)
            assert of(changes) == in_order(target)

    @rule(which=st.sampled_from([0, 1]), steps=STEPS)
    def change(self, which: int, steps: list[Any]) -> None:
        model = dict(self._model)
        self._stores[which].change(lambda changes: self._take(steps, model, changes))
        self._model = model

    @rule(which=st.sampled_from([0, 1]), steps=STEPS)
    def abort(self, which: int, steps: list[Any]) -> None:
        def work(changes: Transaction) -> None:
            self._take(steps, dict(self._model), changes)
            raise GaveUpError

        with suppress(GaveUpError):
            self._stores[which].change(work)

    @rule(which=st.sampled_from([0, 1]))
    def open_again(self, which: int) -> None:
        self._stores[which].close()
        self._stores[which] = self._open()

    @rule(target=held, which=st.sampled_from([0, 1]))
    def hold(self, which: int) -> Any:
        return self._stores[which].snapshot(), dict(self._model)

    @rule(pair=consumes(held))
    def look_at_what_was_held(self, pair: Any) -> None:
        snapshot, model = pair
        assert of(snapshot) == in_order(model)

    @invariant()
    def both_agree(self) -> None:
        first, second = (store.snapshot() for store in self._stores)
        assert of(first) == of(second) == in_order(self._model)
        assert first.version == second.version


def of(state: Any) -> list[Record]:
    return [*state.all(Fruit), *state.all(Stone)]


def in_order(model: dict[tuple[str, str], Record]) -> list[Record]:
    return [model[place] for place in sorted(model)]
