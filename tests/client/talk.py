"""A client's conversations carried by hand: a test reads each step and sends what it likes."""

from outcrop.client import call as steps
from outcrop.client.core import Core

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
}
SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
HELLO = {"model": SONNET, "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
DEFAULTS = {
    "aws_access_key": None,
    "aws_secret_key": None,
    "aws_session_token": None,
    "aws_profile": None,
    "aws_region": "us-west-2",
    "api_key": None,
    "base_url": None,
    "max_retries": 2,
    "default_headers": None,
    "default_query": None,
    "http_client": None,
    "endpoint": None,
    "residency": None,
    "fallback": (),
    "edition": "guide",
}


class FixedCore(Core):
    """Settings with a clock, chance and ids that a test knows."""

    clock = 1_790_000_000.0
    chance = 0.0

    def now(self):
        return self.clock

    def random(self):
        return self.chance

    def new_id(self):
        return "11111111-2222-4333-8444-555555555555"


def core(environ=KEYS, **arguments):
    """A client's settings, as its constructor makes them."""
    return FixedCore({**DEFAULTS, **arguments}, environ)


class Open:
    """A reply that is still to be read."""

    def __init__(self):
        self.closed = False

    def close(self):
        self.closed = True


class Talk:
    """Answers a conversation's steps from a list; notes what was sent, and for how long it waited."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.sent, self.waited = [], []

    def run(self, conversation):
        answer = None
        while True:
            try:
                step = conversation.send(answer)
            except StopIteration as end:
                return end.value
            if isinstance(step, steps.Wait):
                self.waited.append(step.seconds)
                answer = None
                continue
            if isinstance(step, steps.Send):
                self.sent.append(step)
            answer = self.answers.pop(0)


def reply(status=200, body=b"{}", headers=(), opened=None):
    """A reply as a driver hands it back."""
    return steps.Received(status, [("content-type", "application/json"), *headers], body, opened)


def header(send, name):
    return dict(send.headers).get(name)
