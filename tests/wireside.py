"""A client that does what well-behaved ones don't: raw bytes over a socket, signed or not."""

import socket
import time
from urllib.parse import urlsplit

from endpoint import REGION, SONNET
from outcrop.wire import sigv4
from outcrop.wire.http import Head

HELLO = (
    b'{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,'
    b'"messages":[{"role":"user","content":"Hello, world"}]}'
)
INVOKE = f"/model/{SONNET.replace(':', '%3A')}/invoke"
INVOKE_STREAM = INVOKE + "-with-response-stream"
CONVERSE = f"/model/{SONNET.replace(':', '%3A')}/converse"


def signed(
    endpoint, path=INVOKE, body=HELLO, method="POST", headers=None, now=None, chunked=False, **credentials
):
    """A request's bytes, up to the end of its body, signed with the endpoint's key."""
    plain = {"host": urlsplit(endpoint.url).netloc} | (headers or {})
    if not chunked:
        plain["content-length"] = str(len(body))
    raw_path, _, query = path.partition("?")
    who = {"access_key": endpoint.access_key, "secret": endpoint.secret_key} | credentials
    head = Head(method, raw_path, query, plain)
    more = sigv4.sign(head, body, sigv4.Credentials(**who), REGION, "bedrock", now or time.time())
    if chunked:
        more["transfer-encoding"] = "chunked"
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return request_bytes(method, path, plain | more, body)


def request_bytes(method, path, headers, body=b""):
    lines = [f"{method} {path} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Wire:
    """One connection. `send` bytes, `read` a reply, or just leave."""

    def __init__(self, endpoint, timeout=15):
        parts = urlsplit(endpoint.url)
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def head(self):
        """The status and the headers (lower-case) of a reply; 0 when the connection was closed instead."""
        status = self.file.readline()
        if not status:
            return 0, {}
        headers = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(status.split()[1]), headers

    def reply(self):
        """A whole reply: status, headers, body."""
        status, headers = self.head()
        if "chunked" in headers.get("transfer-encoding", ""):
            return status, headers, b"".join(self.chunks())
        return status, headers, self.file.read(int(headers.get("content-length", 0)))

    def chunks(self):
        """The pieces of a chunked body, each as soon as it is here."""
        while (size := int(self.file.readline(), 16)) > 0:
            yield self.file.read(size)
            self.file.readline()
        self.file.readline()


def ask(endpoint, data):
    """Send bytes on a connection of their own; the reply."""
    with Wire(endpoint) as wire:
        return wire.send(data).reply()
