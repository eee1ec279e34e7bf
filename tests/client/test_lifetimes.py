"""How clients and streams end: dropped, closed, interrupted, cancelled, forked, left open at the end.

Each program runs in a Python of its own in which every warning is an error and asyncio looks closely, and
must say nothing on stderr. What it leaves open is counted on both sides. OUTCROP_PROVE=1 does more of what is
done by lot.
"""

import os
import random
import ssl
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from textwrap import dedent

import pytest

import outcrop
from client.badserver import CLOSE, DELTA, END, MESSAGE, OPEN, START, STOP, STREAM, chunk, frame
from outcrop import tls
from outcrop.wire import frames
from transport.threaded import Server

PROVE = os.environ.get("OUTCROP_PROVE") == "1"
BEGUN = STREAM + chunk(frame(START, OPEN, DELTA))
REST = chunk(frame(DELTA, CLOSE, END, STOP)) + b"0\r\n\r\n"
CONVERSE = STREAM + chunk(
    frames.converse_event("messageStart", b'{"role":"assistant"}', b"p")
    + frames.converse_event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":"word "}}', b"p")
)

# What every program begins with.
BEGINNING = """
import asyncio, gc, logging, os, random, signal, sys, threading, time
import outcrop

# slow callbacks are the machine's affair
logging.getLogger("asyncio").setLevel(logging.ERROR)
URL = sys.argv[1]
OPTIONS = {
    "aws_access_key": "AKIDEXAMPLE",
    "aws_secret_key": "secret",
    "aws_region": "us-west-2",
    "base_url": URL,
    "max_retries": 0,
    "timeout": 20,
}
CALL = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
SLOW = {**CALL, "extra_headers": {"x-slow": "yes"}}
WHOLE = {**CALL, "extra_headers": {"x-whole": "yes"}}
CONVERSE = {"model": CALL["model"], "messages": [{"role": "user", "content": [{"text": "Hello"}]}]}


def blocking():
    return outcrop.AnthropicBedrock(**OPTIONS)


def asynchronous():
    return outcrop.AsyncAnthropicBedrock(**OPTIONS)


def files():
    return len(os.listdir("/dev/fd"))


async def settled(count):
    for _ in range(400):
        gc.collect()
        if files() == count:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"{files()} files are open, not {count}")


def child(work):
    # waits for a child that does some work and ends as programs do
    pid = os.fork()
    if pid:
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
        return
    work()
    gc.collect()
    sys.exit()
"""


def bedrock(exchange):
    """A message, a whole stream, or a stream (and with x-slow a message) that does not go on."""
    if exchange.path.endswith("/converse-stream"):
        exchange.send(CONVERSE)
        exchange.client_gone()
    elif exchange.path.endswith("-stream"):
        exchange.send(BEGUN)
        if "x-whole" in exchange.headers:
            exchange.send(REST)
        else:
            exchange.client_gone()
    elif "x-slow" in exchange.headers:
        exchange.client_gone()
    else:
        exchange.reply(body=MESSAGE)


@pytest.fixture
def server():
    with Server(bedrock) as running:
        yield running


def run(server, program, *arguments, **environ):
    """Runs a program against a server. Nothing may be said on stderr, and no connection is left."""
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OUTCROP_"))}
    done = subprocess.run(
        [
            *(sys.executable, "-X", "dev", "-W", "error", "-c"),
            BEGINNING + dedent(program),
            *(server.url, *map(str, arguments)),
        ],
        env={**keep, "AWS_CONFIG_FILE": os.devnull, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    server.wait(lambda: server.open == 0)


# -- dropped


def test_what_is_dropped_in_any_order_is_closed_without_a_word(server):
    run(
        server,
        """
        from itertools import permutations

        WAYS = {
            "events": lambda client: client.messages.create(**CALL, stream=True),
            "helper": lambda client: client.messages.stream(**CALL).__enter__(),
            "manager": lambda client: enter(client.messages.stream(**CALL)),
            "text": lambda client: client.messages.stream(**CALL).__enter__().text_stream,
            "raw": lambda client: client.with_raw_response.messages.create(**CALL, stream=True),
            "parsed": lambda client: client.with_raw_response.messages.create(**CALL, stream=True).parse(),
            "copy": lambda client: client.with_options(timeout=5).messages.create(**CALL, stream=True),
            "beta": lambda client: client.beta.messages.create(**CALL, stream=True),
            "converse": lambda client: client.converse_stream(**CONVERSE),
            "message": lambda client: client.messages.create(**CALL),
            "nothing": lambda client: None,
        }


        def enter(manager):
            manager.__enter__()
            return manager


        blocking().messages.create(**CALL)
        gc.collect()
        before = files()
        for name, open_stream in WAYS.items():
            for order in permutations(["client", "stream", "event"]):
                held = {"client": blocking()}
                held["stream"] = open_stream(held["client"])
                if hasattr(held["stream"], "__next__"):
                    held["event"] = next(held["stream"])
                for what in order:
                    held.pop(what, None)
                gc.collect()
                assert files() == before, (name, order)
        """,
    )
    assert server.connections > 60


def test_what_is_dropped_in_any_order_under_a_loop_is_closed_without_a_word(server):
    run(
        server,
        """
        from itertools import permutations

        WAYS = {
            "events": lambda client: client.messages.create(**CALL, stream=True),
            "helper": lambda client: client.messages.stream(**CALL).__aenter__(),
            "text": lambda client: text(client.messages.stream(**CALL)),
            "raw": lambda client: client.with_raw_response.messages.create(**CALL, stream=True),
            "copy": lambda client: client.with_options(timeout=5).messages.create(**CALL, stream=True),
            "converse": lambda client: client.converse_stream(**CONVERSE),
            "message": lambda client: client.messages.create(**CALL),
        }


        async def text(manager):
            return (await manager.__aenter__()).text_stream


        async def main():
            await asynchronous().messages.create(**CALL)
            gc.collect()
            await asyncio.sleep(0)
            before = files()
            for name, open_stream in WAYS.items():
                for order in permutations(["client", "stream", "event"]):
                    held = {"client": asynchronous()}
                    held["stream"] = await open_stream(held["client"])
                    if hasattr(held["stream"], "__anext__"):
                        held["event"] = await anext(held["stream"])
                    for what in order:
                        held.pop(what, None)
                    await settled(before)


        asyncio.run(main())
        """,
    )
    assert server.connections > 40


def test_what_outlives_its_loop_is_closed_with_it_without_a_word(server):
    """A loop that ends has its connections closed, whatever is still held."""
    run(
        server,
        """
        held = []


        async def main(way):
            client = asynchronous()
            if way in (0, 1):
                stream = await client.messages.create(**CALL, stream=True)
                await anext(stream)
                held.append((client, stream) if way else stream)
            elif way == 2:
                stream = await client.messages.stream(**CALL).__aenter__()
                held.append((stream, stream.text_stream, await anext(stream.text_stream)))
            elif way == 3:
                await client.messages.create(**CALL)
                held.append(client)
            else:
                held.append(asyncio.get_running_loop().create_task(client.messages.create(**CALL)))
                await asyncio.sleep(0.001)


        before = None
        for way in [0, 1, 2, 3, 4] * 3:
            asyncio.run(main(way))
            if way == 0:
                before = before or files()
            if random.random() < 0.5:
                held.clear()
                gc.collect()
            assert files() <= before, way
        """,
    )


def test_a_stream_that_is_left_early_takes_its_connection_with_it_and_no_other(server):
    """And one that is read to its end leaves it for the next call."""
    run(
        server,
        """
        client = blocking()
        for event in client.messages.create(**CALL, stream=True):
            break
        client.messages.create(**CALL)
        with client.messages.stream(**CALL) as stream:
            for text in stream.text_stream:
                break
        for _ in range(3):
            client.messages.create(**CALL)
            with client.messages.stream(**WHOLE) as stream:
                assert stream.get_final_text() == "word word "
            *_, last = client.messages.create(**WHOLE, stream=True)
            assert last.type == "message_stop"
        client.close()


        async def main():
            client = asynchronous()
            async for event in await client.messages.create(**CALL, stream=True):
                break
            await client.messages.create(**CALL)
            async with client.messages.stream(**CALL) as stream:
                async for text in stream.text_stream:
                    break
            for _ in range(3):
                await client.messages.create(**CALL)
                async with client.messages.stream(**WHOLE) as stream:
                    assert await stream.get_final_text() == "word word "
                async for event in await client.messages.create(**WHOLE, stream=True):
                    pass
                assert event.type == "message_stop"
            await client.close()


        asyncio.run(main())
        """,
    )
    # for each client: the two streams that were left, and one for everything else
    assert server.connections == 6


def test_twenty_loops_one_after_the_other_share_a_client(server):
    run(
        server,
        """
        client = asynchronous()


        async def main(number):
            messages = await asyncio.gather(*[client.messages.create(**CALL) for _ in range(3)])
            assert [message.id for message in messages] == ["msg_1"] * 3
            stream = await client.messages.create(**CALL, stream=True)
            await anext(stream)
            if number % 2:
                await stream.close()
            async with client.messages.stream(**WHOLE) as whole:
                assert await whole.get_final_text() == "word word "


        for number in range(20):
            asyncio.run(main(number))
            if number == 0:
                before = files()
            assert files() == before
        """,
    )


def test_loops_in_threads_share_a_client_side_by_side(server):
    run(
        server,
        """
        client = asynchronous()


        async def main():
            for _ in range(5):
                assert (await client.messages.create(**CALL)).id == "msg_1"
                stream = await client.messages.create(**CALL, stream=True)
                await anext(stream)
                await stream.close()


        threads = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(6)]
        before = files()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert files() == before


        async def end():
            await client.close()


        asyncio.run(end())
        """,
    )


# -- the end of the program


ENDS = {
    "a blocking stream": """
        client = blocking()
        stream = client.messages.create(**CALL, stream=True)
        event = next(stream)
    """,
    "a stream without its client": """
        stream = blocking().messages.create(**CALL, stream=True)
        event = next(stream)
    """,
    "a helper": """
        client = blocking()
        manager = client.messages.stream(**CALL)
        stream = manager.__enter__()
        text = next(stream.text_stream)
    """,
    "what refers to itself": """
        client = blocking()
        stream = client.messages.create(**CALL, stream=True)
        client.me, stream.me = stream, client
    """,
    "a stream in a thread that nobody waits for": """
        def read():
            for event in blocking().messages.create(**CALL, stream=True):
                begun.set()

        begun = threading.Event()
        threading.Thread(target=read, daemon=True).start()
        assert begun.wait(10)
    """,
    "a raw reply": """
        reply = blocking().with_raw_response.messages.create(**CALL, stream=True)
    """,
    "a stream under a loop": """
        async def main():
            global client, stream
            client = asynchronous()
            stream = await client.messages.create(**CALL, stream=True)
            await anext(stream)

        asyncio.run(main())
    """,
    "a helper under a loop": """
        async def main():
            global stream, texts
            stream = await asynchronous().messages.stream(**CALL).__aenter__()
            texts = stream.text_stream
            await anext(texts)

        asyncio.run(main())
    """,
    "a task that waits for an answer": """
        async def main():
            global task
            task = asyncio.create_task(asynchronous().messages.create(**SLOW))
            await asyncio.sleep(0.05)

        asyncio.run(main())
    """,
    "a loop in a thread that nobody waits for": """
        async def main():
            stream = await asynchronous().messages.create(**CALL, stream=True)
            await anext(stream)
            begun.set()
            await asyncio.sleep(60)

        begun = threading.Event()
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        assert begun.wait(10)
    """,
}


@pytest.mark.parametrize("name", ENDS)
def test_a_program_may_end_with_things_open(server, name):
    run(server, ENDS[name])


def test_an_exception_that_leaves_a_loop_is_the_only_thing_told(server):
    run(
        server,
        """
        async def main():
            client = asynchronous()
            async with client.messages.stream(**CALL) as stream:
                async for event in stream:
                    raise LookupError("mine")

        for _ in range(3):
            try:
                asyncio.run(main())
            except LookupError as error:
                assert str(error) == "mine" and error.__context__ is None
        """,
    )


# -- interrupted and cancelled


def test_an_interrupt_while_it_reads_ends_the_call_and_not_the_client(server):
    run(
        server,
        """
        def interrupt(*about):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        client = blocking()
        client.messages.create(**CALL)
        before = files()
        for way in range(4):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            try:
                if way == 0:
                    client.messages.create(**SLOW)
                elif way == 1:
                    for event in client.messages.create(**CALL, stream=True):
                        pass
                elif way == 2:
                    with client.messages.stream(**CALL) as stream:
                        stream.until_done()
                else:
                    with client.messages.stream(**CALL) as stream:
                        for text in stream.text_stream:
                            pass
            except KeyboardInterrupt:
                assert client.messages.create(**CALL).id == "msg_1"
            else:
                raise AssertionError("it was not interrupted")
        event = stream = None
        gc.collect()
        assert files() == before
        client.close()
        """,
    )


def test_interrupts_at_any_moment_leave_a_client_that_works(server):
    """Also in the middle of connecting, of writing, of giving a connection back."""
    run(
        server,
        """
        def interrupt(*about):
            raise KeyboardInterrupt

        # one that comes while something is collected is told on stderr by Python, and lost
        sys.unraisablehook = lambda about: None
        signal.signal(signal.SIGALRM, interrupt)
        chance = random.Random(7)
        client = blocking()
        client.messages.create(**CALL)
        before, interrupted, rounds = files(), 0, int(sys.argv[2])
        for _ in range(rounds):
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.004))
                if chance.random() < 0.5:
                    client.messages.create(**CALL)
                else:
                    for event in client.messages.create(**WHOLE, stream=True):
                        pass
                if chance.random() < 0.3:
                    client = blocking()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
        for _ in range(3):
            assert client.messages.create(**CALL).id == "msg_1"
        gc.collect()
        assert files() == before, (files(), before)
        assert interrupted > rounds / 10, interrupted
        client.close()
        """,
        5000 if PROVE else 200,
    )


def test_calls_that_are_cancelled_at_any_moment_leave_nothing(server):
    run(
        server,
        """
        chance = random.Random(8)


        async def call(client):
            way = chance.randrange(4)
            if way == 0:
                await client.messages.create(**CALL)
            elif way == 1:
                await client.messages.create(**SLOW)
            elif way == 2:
                async with client.messages.stream(**CALL) as stream:
                    await stream.until_done()
            else:
                async for event in await client.messages.create(**WHOLE, stream=True):
                    await asyncio.sleep(0)


        async def main():
            client = asynchronous()
            await client.messages.create(**CALL)
            before = files()
            for _ in range(int(sys.argv[2])):
                tasks = [asyncio.create_task(call(client)) for _ in range(20)]
                for task in chance.sample(tasks, 20):
                    await asyncio.sleep(chance.choice([0, 0, 0.001, 0.004]))
                    task.cancel()
                done = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(one is None or isinstance(one, asyncio.CancelledError) for one in done), done
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert (await client.messages.create(**CALL)).id == "msg_1"
            await client.close()
            await settled(before - 1)  # the connection of the first call is gone too


        asyncio.run(main())
        """,
        100 if PROVE else 10,
    )


@pytest.mark.parametrize("seconds", [0.03, 0.1])
def test_a_time_limit_of_the_programs_own_ends_a_stream(server, seconds):
    run(
        server,
        f"""
        async def main():
            async with asynchronous() as client:
                seen = []
                try:
                    async with asyncio.timeout({seconds}):
                        async for event in await client.messages.create(**CALL, stream=True):
                            seen.append(event)
                except TimeoutError:
                    pass
                else:
                    raise AssertionError
                assert (await client.messages.create(**CALL)).id == "msg_1"


        asyncio.run(main())
        """,
    )


# -- closed


def test_a_client_that_is_closed_says_so_at_once(server):
    run(
        server,
        """
        client = blocking()
        stream = client.messages.create(**CALL, stream=True)
        next(stream)
        copy = client.with_options(max_retries=5)
        client.close()
        client.close()
        assert client.is_closed() and copy.is_closed()
        for ask in (
            lambda: client.messages.create(**CALL),
            lambda: copy.messages.create(**CALL, stream=True),
            lambda: copy.messages.stream(**CALL).__enter__(),
            lambda: copy.identity(),
            lambda: next(stream) and next(stream) and next(stream),
        ):
            try:
                ask()
            except outcrop.APIConnectionError as error:
                assert "closed" in error.what and error.fix, error
            else:
                raise AssertionError("it was answered")


        async def main():
            client = asynchronous()
            stream = await client.messages.create(**CALL, stream=True)
            await anext(stream)
            copy = client.with_options(max_retries=5)
            await client.close()
            await client.close()
            assert client.is_closed() and copy.is_closed()
            for ask in (
                lambda: client.messages.create(**CALL),
                lambda: copy.messages.create(**CALL, stream=True),
                lambda: copy.messages.stream(**CALL).__aenter__(),
                lambda: copy.identity(),
                lambda: read_on(stream),
            ):
                try:
                    await ask()
                except outcrop.APIConnectionError as error:
                    assert "closed" in error.what and error.fix, error
                else:
                    raise AssertionError("it was answered")


        async def read_on(stream):
            async for event in stream:
                pass


        began = time.monotonic()
        asyncio.run(main())
        assert time.monotonic() - began < 2, "closed clients were tried again"
        """,
    )


def test_a_client_that_is_closed_while_others_wait_lets_them_go(server):
    run(
        server,
        """
        def wait(ask):
            try:
                ask()
            except outcrop.APIConnectionError as error:
                told.append(error.what)

        client, told = blocking(), []
        asks = [
            lambda: client.messages.create(**SLOW),
            lambda: list(client.messages.create(**CALL, stream=True)),
            lambda: client.messages.stream(**CALL).__enter__().until_done(),
        ]
        threads = [threading.Thread(target=wait, args=[ask]) for ask in asks]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        client.close()
        for thread in threads:
            thread.join(5)
        assert len(told) == 3 and all("closed" in text for text in told), told


        async def main():
            client = asynchronous()
            tasks = [
                asyncio.create_task(client.messages.create(**SLOW)),
                asyncio.create_task(whole(client)),
            ]
            await asyncio.sleep(0.2)
            await client.close()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            for one in done:
                assert isinstance(one, outcrop.APIConnectionError) and "closed" in one.what, one


        async def whole(client):
            async for event in await client.messages.create(**CALL, stream=True):
                pass


        asyncio.run(main())
        """,
    )


@pytest.mark.parametrize("seed", range(20 if PROVE else 1))
def test_thirty_two_threads_open_leave_and_close_streams(server, seed):
    """Some read to the end, some leave, some are closed by other threads; then the client is closed."""

    def work(number):
        chance = random.Random(seed * 100 + number)
        while not closing.is_set():
            way = chance.randrange(5)
            try:
                if way == 0:
                    assert client.messages.create(**call).id == "msg_1"
                elif way == 1:
                    events = list(client.messages.create(**call, extra_headers={"x-whole": "y"}, stream=True))
                    assert len(events) == 7
                elif way == 2:
                    with client.messages.stream(**call) as stream:
                        assert next(stream.text_stream) == "word "
                elif way == 3:
                    stream = client.messages.create(**call, stream=True)
                    next(stream)
                    stream.close()
                else:
                    stream = client.messages.create(**call, stream=True)
                    threading.Timer(0.01, stream.close).start()
                    next(stream)
                    del stream
                counted.append(way)
            except outcrop.APIConnectionError as error:
                if not closing.is_set():
                    failed.append(error)
        return True

    call = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    client = outcrop.AnthropicBedrock(
        aws_access_key="a", aws_secret_key="b", aws_region="us-west-2", base_url=server.url, max_retries=0
    )
    closing, counted, failed = threading.Event(), [], []
    with ThreadPoolExecutor(32) as threads:
        working = [threads.submit(work, number) for number in range(32)]
        deadline = time.monotonic() + (5 if PROVE else 1)
        while time.monotonic() < deadline and not failed:
            time.sleep(0.01)
        closing.set()
        client.close()
        assert all(one.result(10) for one in working)
    assert failed == []
    assert set(counted) == {0, 1, 2, 3, 4}
    server.wait(lambda: server.open == 0)


# -- forks


@pytest.fixture
def secure(tmp_path):
    """The same server with TLS, and with a stream that goes on when its call does."""
    files = tls.ensure(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)

    def script(exchange):
        if exchange.path.endswith("/invoke"):
            go_on.set()
            exchange.reply(body=MESSAGE)
        else:
            exchange.send(BEGUN)
            go_on.wait(10)
            exchange.send(REST)

    go_on = threading.Event()
    with Server(script, tls=context) as running:
        running.ca = str(files.ca)
        yield running


def test_parent_and_child_both_go_on_after_a_fork(secure):
    """Over TLS, where a word of the child's on its parent's connection would end it."""
    run(
        secure,
        """
        client = blocking()
        client.messages.create(**CALL)
        stream = client.messages.create(**CALL, stream=True)
        next(stream)


        def work():
            global client, stream
            assert client.messages.create(**CALL).id == "msg_1"
            try:
                list(stream)
            except outcrop.APIConnectionError:
                pass
            else:
                raise AssertionError("the child has read its parent's stream")
            stream.close()
            client.close()


        child(work)
        assert client.messages.create(**CALL).id == "msg_1"
        assert [event.type for event in stream][-1] == "message_stop"
        """,
        AWS_CA_BUNDLE=secure.ca,
    )


def test_a_child_that_only_ends_takes_nothing_with_it(secure):
    run(
        secure,
        """
        client = blocking()
        with client.messages.stream(**CALL) as stream:
            next(stream)
            child(lambda: None)
            child(lambda: globals().pop("client") and globals().pop("stream"))
            client.messages.create(**CALL)
            assert stream.get_final_text() == "word word "
        """,
        AWS_CA_BUNDLE=secure.ca,
    )


def test_a_fork_under_a_loop(secure):
    run(
        secure,
        """
        client = asynchronous()


        async def ask():
            assert (await client.messages.create(**CALL)).id == "msg_1"


        async def main():
            await ask()
            stream = await client.messages.create(**CALL, stream=True)
            await anext(stream)
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    asyncio.run(ask())
                    del stream
                    gc.collect()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(pid, 0)[1] == 0, "the child failed"
            await ask()
            assert [event.type async for event in stream][-1] == "message_stop"
            await client.close()


        asyncio.run(main())
        """,
        AWS_CA_BUNDLE=secure.ca,
    )
