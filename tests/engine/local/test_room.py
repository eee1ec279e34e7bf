"""Who may generate: slots, cells, the queue, and the memory of slots."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.engine.local.room import Room, shared_prefix
from outcrop.errors import ThrottlingException


def test_as_many_as_there_are_slots_and_the_next_waits():
    async def scene():
        room = Room(2, 100, 5)
        first, second = await room.take(10, ()), await room.take(10, ())
        assert {first.slot, second.slot} == {0, 1}
        third = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        assert not third.done()
        room.leave(first, ())
        assert (await third).slot == first.slot

    asyncio.run(scene())


def test_a_large_answer_waits_for_its_cells_and_is_not_overtaken():
    async def scene():
        room = Room(4, 100, 5)
        small = await room.take(60, ())
        large = asyncio.create_task(room.take(80, ()))
        await asyncio.sleep(0)
        late = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        assert not large.done()
        assert not late.done()
        room.leave(small, ())
        await large
        await late

    asyncio.run(scene())


def test_the_queue_is_bounded():
    async def scene():
        room = Room(1, 100, 1)
        await room.take(10, ())
        waiting = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        with pytest.raises(ThrottlingException):
            await room.take(10, ())
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        # whoever gave up waiting left the queue
        again = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        assert not again.done()
        again.cancel()

    asyncio.run(scene())


def test_giving_up_at_the_head_of_the_queue_lets_the_next_in():
    async def scene():
        room = Room(2, 100, 5)
        await room.take(50, ())
        large = asyncio.create_task(room.take(90, ()))
        await asyncio.sleep(0)
        small = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        large.cancel()
        assert (await small).cells == 10

    asyncio.run(scene())


def test_a_place_given_to_one_who_was_just_cancelled_is_given_on():
    async def scene():
        room = Room(1, 100, 5)
        first = await room.take(10, ())
        gone = asyncio.create_task(room.take(10, ()))
        next_one = asyncio.create_task(room.take(10, ()))
        await asyncio.sleep(0)
        room.leave(first, ())  # gives the place to `gone` ...
        gone.cancel()  # ... who never sees it
        assert (await next_one).slot == first.slot

    asyncio.run(scene())


def test_the_slot_that_remembers_most_is_chosen():
    async def scene():
        room = Room(3, 1000, 5)
        places = [await room.take(10, ()) for _ in range(3)]
        for place, tokens in zip(places, ([1, 2, 3, 4], [1, 2, 9], [7]), strict=True):
            room.leave(place, tokens)
        place = await room.take(10, [1, 2, 9, 9])
        assert (place.slot, place.known) == (places[1].slot, 3)
        room.leave(place, ())
        room.forget()
        assert (await room.take(10, [1, 2, 3])).known == 0

    asyncio.run(scene())


def test_slots_that_the_child_may_have_cleared_are_not_relied_on():
    async def scene():
        room = Room(2, 100, 5)
        first, second = await room.take(40, ()), await room.take(40, ())
        room.leave(first, list(range(40)))
        room.leave(second, list(range(50, 90)))
        large = await room.take(80, [999])
        room.leave(large, ())
        assert (await room.take(10, list(range(40)))).known == 0

    asyncio.run(scene())


@given(st.lists(st.integers(0, 1), max_size=30), st.lists(st.integers(0, 1), max_size=30))
@settings(max_examples=200)
def test_the_shared_prefix_is_the_longest(one, two):
    length = shared_prefix(one, two)
    assert one[:length] == two[:length]
    assert length == min(len(one), len(two)) or one[length] != two[length]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)), max_size=25))
@settings(max_examples=60, deadline=None)
def test_nobody_starves_and_the_cells_are_never_overbooked(answers):
    async def scene():
        room = Room(3, 100, 100)
        used = 0

        async def one(cells, turns):
            nonlocal used
            place = await room.take(cells, ())
            used += cells
            assert used <= 100
            for _ in range(turns):
                await asyncio.sleep(0)
            used -= cells
            room.leave(place, ())

        await asyncio.wait_for(asyncio.gather(*(one(*answer) for answer in answers)), 10)

    asyncio.run(scene())
