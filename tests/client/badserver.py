"""A Bedrock that misbehaves on cue: raw bytes, pauses and resets, decided by a test.

Each connection carries one exchange; the nth request is answered by the nth act, the last one repeats.
"""

import socket
import struct
import threading

from outcrop.wire import frames

STREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
    b"x-amzn-requestid: req-1\r\ntransfer-encoding: chunked\r\n\r\n"
)
MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"claude","stop_reason":"end_turn",'
    b'"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":12,"output_tokens":5}}'
)
START = (
    b'{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude",'
    b'"content":[],"usage":{"input_tokens":1,"output_tokens":1}}}'
)
OPEN = b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
DELTA = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word "}}'
CLOSE = b'{"type":"content_block_stop","index":0}'
END = b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":5}}'
STOP = b'{"type":"message_stop"}'


def frame(*events):
    """Events as event-stream frames."""
    return frames.chunks(events, frames.no_paddings())


def chunk(data):
    """A piece of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def whole(status=200, body=MESSAGE, *headers, reason=b"OK"):
    """A reply with a length."""
    lines = b"".join(b"%b\r\n" % line for line in headers)
    return b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b" % (
        status,
        reason,
        len(body),
        lines,
        body,
    )


class Act:
    """What happens on one connection once its request is in. Each method is a step; `then` adds one."""

    def __init__(self, *data):
        self._steps = [("send", piece) for piece in data]

    def then(self, *data):
        self._steps += [("send", piece) for piece in data]
        return self

    def reset(self):
        self._steps.append(("reset", b""))
        return self

    def stall(self):
        self._steps.append(("stall", b""))
        return self

    def drip(self, data):
        """A byte every 20 ms."""
        self._steps.append(("drip", data))
        return self

    def play(self, connection, stopping):
        for what, data in self._steps:
            if what == "send":
                connection.sendall(data)
            elif what == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            elif what == "stall":
                stopping.wait(20)
            else:
                for at in range(len(data)):
                    connection.sendall(data[at : at + 1])
                    if stopping.wait(0.02):
                        return


class BadServer:
    """A context manager: `url`, and `requests` as they came."""

    def __init__(self, *acts):
        self._acts = acts
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.requests = []

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *error):
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection):
        with connection:
            try:
                request = self._receive(connection)
                if request:
                    with self._lock:
                        self.requests.append(request)
                        act = self._acts[min(len(self.requests), len(self._acts)) - 1]
                    act.play(connection, self._stopping)
            except OSError:
                pass  # the client went away, which is what some tests are about

    @staticmethod
    def _receive(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return b""
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body
