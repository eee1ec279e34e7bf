"""A message put together from the events of its stream, and the events told beside them.

The order of events and what they hold follow `anthropic` 2.12's `messages.stream`. What costs time is done
when somebody looks: text is joined and a tool's JSON parsed when a `snapshot` is read, not with each event,
so a stream costs what its length costs and not its square.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from outcrop.client.errors import SEND_AGAIN, StreamCorruptedError
from outcrop.client.value import Items, Value, whole
from outcrop.types import (
    CitationEvent,
    CitationsDelta,
    CompactionEvent,
    ContentBlockStopEvent,
    InputJSONDelta,
    InputJsonEvent,
    Message,
    MessageStopEvent,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
    SignatureDelta,
    SignatureEvent,
    TextDelta,
    TextEvent,
    ThinkingDelta,
    ThinkingEvent,
    Usage,
    block_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from outcrop.client.value import About
    from outcrop.types import Event, MessageStreamEvent

# these stand beside `delta` in a message_delta, and replace the message's (beta)
_BESIDE: Final = ("context_management", "input_transformations")

_new: Final = object.__new__
_set: Final = object.__setattr__


class Snapshot:
    """Feed a stream's events; take the events to hand out, and the message whenever it is wanted.

    `about` is what is known of the answer beside its JSON; every message has it. `cut_strings` lets an
    `InputJsonEvent.snapshot` hold the beginning of text that is still coming, as it does in `anthropic` for
    the beta `fine-grained-tool-streaming-2025-05-14`.
    """

    __slots__ = ("_blocks", "_cut_strings", "_members", "_message", "_usage", "about")

    def __init__(self, about: About | None = None, *, cut_strings: bool = False) -> None:
        self.about = about
        self._cut_strings = cut_strings
        self._members: dict[str, Any] | None = None
        self._usage: dict[str, Any] | None = None
        self._blocks: dict[Any, _Block] = {}
        self._message: Message | None = None

    @property
    def started(self) -> bool:
        """Whether there is a message: its first event has come."""
        return self._members is not None

    def add(self, event: Event) -> Sequence[MessageStreamEvent]:
        """The events to hand out for one that came: itself, or more about it, and what is made from it.

        Events and deltas of unknown kinds go through. Raises StreamCorruptedError for a delta without its
        block, a known delta without its member, and a tool's input that is not JSON.
        """
        kind = type(event)
        if kind is RawContentBlockDeltaEvent:
            if self._members is None:
                return (event,)  # type: ignore[return-value]
            self._message = None
            try:
                block = self._blocks[event.__dict__["index"]]
            except (KeyError, TypeError):
                _no_block(event)
            told = block.add(event.__dict__.get("delta"))
            return (event,) if told is None else (event, told)  # type: ignore[return-value]
        step = _STEPS.get(kind)
        if step is None or (self._members is None and kind is not RawMessageStartEvent):
            return (event,)  # type: ignore[return-value]
        self._message = None
        return step(self, event)

    def message(self) -> Message:
        """The message as far as it has come; the same object until more comes.

        Raises RuntimeError before the first event.
        """
        if self._message is None:
            if self._members is None:
                raise RuntimeError(
                    "Nothing of the message has come yet. Iterate over the stream first; one that was closed "
                    "or failed before its first event has no message."
                )
            members = dict(self._members)
            members["content"] = Items(block.value() for block in self._blocks.values())
            if self._usage is not None:
                members["usage"] = Usage.of(dict(self._usage))
            self._message = Message.of(members)
            self._message.set_about(self.about)
        return self._message

    def _start(self, event: RawMessageStartEvent) -> Sequence[MessageStreamEvent]:
        if self._members is None:
            message = event.__dict__.get("message")
            if type(message) is not Message:
                raise StreamCorruptedError(message="The stream's first event has no message.", fix=SEND_AGAIN)
            self._members = dict(whole(message))
            usage = self._members.get("usage")
            self._usage = dict(whole(usage)) if type(usage) is Usage else None
            content = self._members.setdefault("content", [])
            for index, block in enumerate(content if isinstance(content, list) else ()):
                self._open(index, block)
        return (event,)

    def _open_block(self, event: RawContentBlockStartEvent) -> Sequence[MessageStreamEvent]:
        index = event.__dict__.get("index")
        if type(index) is not int or index in self._blocks:
            raise StreamCorruptedError(
                message=f"The stream is corrupted: a block begins at index {index!r}, which is taken "
                "or no index.",
                fix=SEND_AGAIN,
            )
        self._open(index, event.__dict__.get("content_block"))
        return (event,)

    def _open(self, index: int, start: Any) -> None:
        if not isinstance(start, Value):
            self._blocks[index] = _Block({}, start)
            return
        members = whole(start)
        kind = members.get("type")
        maker = _BLOCKS.get(kind) if type(kind) is str else None
        block = self._blocks[index] = (maker or _Block)(members, start)
        if self._cut_strings and type(block) is _Input:
            block.json.cut_strings = True

    def _close_block(self, event: RawContentBlockStopEvent) -> Sequence[MessageStreamEvent]:
        members = event.__dict__
        try:
            block = self._blocks[members["index"]]
        except (KeyError, TypeError):
            _no_block(event)
        return (ContentBlockStopEvent.of({**members, "content_block": block.closed()}),)

    def _end(self, event: RawMessageDeltaEvent) -> Sequence[MessageStreamEvent]:
        """Totals replace totals; what is absent or null there stays as it was."""
        members = self._members
        assert members is not None  # noqa: S101 - `add` has looked
        delta = _members_of(event.__dict__.get("delta"))
        for name in ("stop_reason", "stop_sequence", "stop_details"):
            members[name] = delta.get(name)
        members.update((name, value) for name, value in delta.items() if value is not None)
        for name in _BESIDE:
            if event.__dict__.get(name) is not None:
                members[name] = event.__dict__[name]
        usage = _members_of(event.__dict__.get("usage"))
        if usage and self._usage is None:
            self._usage = {}
        if self._usage is not None:
            self._usage.update((name, value) for name, value in usage.items() if value is not None)
        return (event,)

    def _stop(self, event: RawMessageStopEvent) -> Sequence[MessageStreamEvent]:
        return (MessageStopEvent.of({**event.__dict__, "message": self.message()}),)


_STEPS: Final[dict[type, Callable[[Snapshot, Any], Sequence[MessageStreamEvent]]]] = {
    RawMessageStartEvent: Snapshot._start,
    RawContentBlockStartEvent: Snapshot._open_block,
    RawContentBlockStopEvent: Snapshot._close_block,
    RawMessageDeltaEvent: Snapshot._end,
    RawMessageStopEvent: Snapshot._stop,
}


def _members_of(value: Any) -> dict[str, Any]:
    return whole(value) if isinstance(value, Value) else {}


def _no_block(event: Value) -> NoReturn:
    raise StreamCorruptedError(
        message=f"The stream is corrupted: {event['type']} for a block that has not begun, "
        f"index {event.get('index')!r}.",
        fix=SEND_AGAIN,
    )


def _text_of(delta: Value, member: str) -> str:
    """A delta's text. Raises StreamCorruptedError."""
    text = delta.__dict__.get(member)
    if type(text) is str:
        return text
    raise StreamCorruptedError(
        message=f"The stream is corrupted: a {delta['type']} without text in {member!r}.", fix=SEND_AGAIN
    )


# --- blocks while they grow ---


class _Block:
    """A block of which nothing is known but what it began with."""

    def __init__(self, members: dict[str, Any], start: Any) -> None:
        self.members = members
        self.start = start
        self._made: Any = start

    def add(self, delta: Any) -> MessageStreamEvent | None:  # noqa: ARG002 - the others look
        """Take a delta; the event to tell beside it."""
        return None

    def value(self) -> Any:
        """The block as far as it has come."""
        if self._made is None:
            self._made = block_of({**self.members, **self.grown()})
        return self._made

    def closed(self) -> Any:
        """The whole block."""
        return self.value()

    def grown(self) -> dict[str, Any]:
        """The members that are not what they were at the beginning."""
        return {}


class _Text(_Block):
    def __init__(self, members: dict[str, Any], start: Any) -> None:
        super().__init__(members, start)
        self._text = _Grown(members.get("text"))
        self._citations = _Listed(members.get("citations"))

    def add(self, delta: Any) -> MessageStreamEvent | None:
        if type(delta) is TextDelta:
            text = _text_of(delta, "text")
            self._made = None
            made = _new(TextEvent)
            _set(made, "__dict__", {"type": "text", "text": text})
            _set(made, "_source", (self._text, self._text.add(text)))
            return made
        if type(delta) is CitationsDelta:
            citation = delta.__dict__.get("citation")
            self._made = None
            told = CitationEvent.of({"type": "citation", "citation": citation})
            _set(told, "_source", (self._citations, self._citations.add(citation)))
            return told
        return None

    def grown(self) -> dict[str, Any]:
        grown: dict[str, Any] = {"text": self._text.upto(self._text.length)}
        if self._citations:
            grown["citations"] = Items(self._citations)
        return grown


class _Thinking(_Block):
    def __init__(self, members: dict[str, Any], start: Any) -> None:
        super().__init__(members, start)
        self._thinking = _Grown(members.get("thinking"))
        self._signature: str | None = None

    def add(self, delta: Any) -> MessageStreamEvent | None:
        if type(delta) is ThinkingDelta:
            text = _text_of(delta, "thinking")
            self._made = None
            made = _new(ThinkingEvent)
            _set(made, "__dict__", {"type": "thinking", "thinking": text})
            _set(made, "_source", (self._thinking, self._thinking.add(text)))
            return made
        if type(delta) is SignatureDelta:
            self._made = None
            self._signature = _text_of(delta, "signature")
            return SignatureEvent.of({"type": "signature", "signature": self._signature})
        return None

    def grown(self) -> dict[str, Any]:
        grown = {"thinking": self._thinking.upto(self._thinking.length)}
        if self._signature is not None:
            grown["signature"] = self._signature
        return grown


class _Input(_Block):
    """A tool's input, which comes as pieces of JSON."""

    def __init__(self, members: dict[str, Any], start: Any) -> None:
        super().__init__(members, start)
        self.json = _GrownJson(members.get("input", {}))

    def add(self, delta: Any) -> MessageStreamEvent | None:
        if type(delta) is not InputJSONDelta:
            return None
        piece = _text_of(delta, "partial_json")
        self._made = None
        made = InputJsonEvent.of({"type": "input_json", "partial_json": piece})
        _set(made, "_source", (self.json, self.json.add(piece)))
        return made

    def grown(self) -> dict[str, Any]:
        return {"input": self.json.upto(self.json.length)}

    def closed(self) -> Any:
        self._made = block_of({**self.members, "input": self.json.closed(self.members.get("name"))})
        return self._made


class _Compaction(_Block):
    """A summary of the conversation, which comes whole (beta)."""

    def __init__(self, members: dict[str, Any], start: Any) -> None:
        super().__init__(members, start)
        self._summary: dict[str, Any] = {}

    def add(self, delta: Any) -> MessageStreamEvent | None:
        if not isinstance(delta, Value) or delta.get("type") != "compaction_delta":
            return None
        self._made = None
        self._summary = {name: delta.get(name) for name in ("content", "encrypted_content")}
        return CompactionEvent.of({"type": "compaction", **self._summary})

    def grown(self) -> dict[str, Any]:
        return self._summary


_BLOCKS: Final[dict[str, type[_Block]]] = {
    "text": _Text,
    "thinking": _Thinking,
    "tool_use": _Input,
    "server_tool_use": _Input,
    "mcp_tool_use": _Input,  # beta
    "compaction": _Compaction,  # beta
}


class _Grown:
    """Text that is added to, and what it was at any length it had.

    What was joined is kept beside how many parts it is of, as one pair: a reader on another thread sees an
    older pair or a newer one, and both are right.
    """

    __slots__ = ("_joined", "_parts", "length")

    def __init__(self, begun: Any) -> None:
        begun = begun if type(begun) is str else ""
        self._parts = [begun]
        self._joined = (1, begun)
        self.length = len(begun)

    def add(self, text: str) -> int:
        """Add text; the length now."""
        self._parts.append(text)
        self.length += len(text)
        return self.length

    def upto(self, end: int) -> Any:
        """The first `end` characters."""
        count, text = self._joined
        if len(text) < end:
            parts = self._parts[count:]
            text += "".join(parts)
            self._joined = (count + len(parts), text)
        return text[:end]


class _Listed(list[Any]):
    """A list that is added to, and what it was at any length it had."""

    def __init__(self, begun: Any) -> None:
        super().__init__(begun if isinstance(begun, list) else ())

    def add(self, item: Any) -> int:
        """Add an item; the length now."""
        self.append(item)
        return len(self)

    def upto(self, end: int) -> Items[Any]:
        """The first `end` items."""
        return Items(self[:end])


class _GrownJson(_Grown):
    """JSON that is added to. `upto` gives what is complete of it, `begun` while there is nothing."""

    __slots__ = ("_begun", "_scan", "cut_strings")

    def __init__(self, begun: Any) -> None:
        super().__init__("")
        self._begun = begun
        self._scan = _BEGINNING
        self.cut_strings = False

    def upto(self, end: int) -> Any:
        """What is complete in the first `end` characters."""
        text = super().upto(end)
        if not text:
            return self._begun
        # who reads every snapshot in order has the new part looked at only
        scan = self._scan if self._scan.at <= end else _BEGINNING
        self._scan = scan = scan.further(text)
        complete = scan.completed(text, self.cut_strings)
        return _decoded(complete) if complete else self._begun

    def closed(self, name: Any) -> Any:
        """The whole. Where the model was cut off by `max_tokens`, what is complete of it.

        Raises StreamCorruptedError for what is not the beginning of JSON.
        """
        text = super().upto(self.length)
        if not text:
            return self._begun
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            complete = self.upto(self.length)
        scan = self._scan
        more = not scan.closers and scan.cut and text[scan.at :].strip()
        if scan.wrong or more:
            raise StreamCorruptedError(
                message=f"The model's input for the tool {name!r} is not JSON: {text[:200]!r}",
                fix="Send the request again, or lower `temperature`.",
            )
        return complete


# --- JSON that has not ended ---


def _decoded(text: str) -> Any:
    """JSON, with NaN and Infinity, which models write and msgspec refuses."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        import json
    try:
        found = json.loads(text)
        msgspec.json.encode(found)  # half a character in an escape: no text that could be sent back
    except (ValueError, RecursionError) as error:
        raise StreamCorruptedError(
            message=f"The model's input for a tool is not JSON ({error}): {text[:200]!r}",
            fix="Send the request again, or lower `temperature`.",
        ) from None
    return found


# What may come: a value, a value or "]", a name, a name or "}", a colon, a comma or the end of what is open.
_VALUE, _FIRST_VALUE, _NAME, _FIRST_NAME, _COLON, _AFTER = range(6)
_NEXT: Final = {
    **{(state, kind): _AFTER for state in (_VALUE, _FIRST_VALUE) for kind in ("text", "scalar")},
    **{(state, "{"): _FIRST_NAME for state in (_VALUE, _FIRST_VALUE)},
    **{(state, "["): _FIRST_VALUE for state in (_VALUE, _FIRST_VALUE)},
    (_NAME, "text"): _COLON,
    (_FIRST_NAME, "text"): _COLON,
    (_COLON, ":"): _VALUE,
    (_AFTER, ",}"): _NAME,  # a comma, and what is open
    (_AFTER, ",]"): _VALUE,
}
_CLOSER: Final = {"{": "}", "[": "]"}

# patterns are compiled where they are needed: most streams have no tool input that anyone looks into
_PIECE: Final = r'[ \t\n\r]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")|([{}\[\],:])|([^ \t\n\r"{}\[\],:]++)(?=.))'
_CUT_TEXT: Final = r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*+)*+'
_TEXT: Final = _CUT_TEXT + '"'
_SCALAR: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity"
_HALF_CHARACTER: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}$"


class _Scan:
    """How far a text is JSON. Immutable.

    `at`: where the next token begins. `cut`: where the last complete value ends, in which `closers` close
    what is open. `state`: what may come. `wrong`: there is something at `at` that can't.
    """

    __slots__ = ("at", "closers", "cut", "state", "wrong")

    def __init__(self, at: int, cut: int, closers: str, state: int, wrong: bool = False) -> None:
        self.at = at
        self.cut = cut
        self.closers = closers
        self.state = state
        self.wrong = wrong

    def further(self, text: str) -> _Scan:
        """The scan of a text that begins with the text scanned so far."""
        import re

        piece = re.compile(_PIECE, re.DOTALL).match
        is_text = re.compile(_TEXT).fullmatch
        is_scalar = re.compile(_SCALAR).fullmatch
        scan = self
        while not scan.wrong and (found := piece(text, scan.at)):
            string, mark, scalar = found.groups()
            if mark:
                scan = scan._after(mark, found.end())
            elif is_text(string) if string else is_scalar(scalar):
                scan = scan._after("text" if string else "scalar", found.end())
            else:
                return scan._wrong()
        return scan

    def _after(self, piece: str, end: int) -> _Scan:
        """The scan behind one more piece."""
        closers = self.closers
        if piece in ("}", "]"):
            if closers[:1] != piece or self.state not in (_AFTER, _FIRST_VALUE, _FIRST_NAME):
                return self._wrong()
            return _Scan(end, end, closers[1:], _AFTER)
        state = _NEXT.get((self.state, "," + closers[:1] if piece == "," else piece))
        if state is None:
            return self._wrong()
        cut = end if state in (_AFTER, _FIRST_VALUE, _FIRST_NAME) else self.cut
        return _Scan(end, cut, _CLOSER.get(piece, "") + closers, state)

    def _wrong(self) -> _Scan:
        return _Scan(self.at, self.cut, self.closers, self.state, True)

    def completed(self, text: str, cut_strings: bool) -> str:
        """The text up to its last complete value, closed; "" where there is none.

        A number or a word at the very end counts when it could be all; text counts when it has ended, or is
        cut where it is when `cut_strings`.
        """
        rest = text[self.at :].lstrip(" \t\n\r")
        if rest and not self.wrong and self.state in (_VALUE, _FIRST_VALUE):
            import re

            if re.fullmatch(_SCALAR, rest):
                return text + self.closers
            if cut_strings and (found := re.match(_CUT_TEXT, rest)):
                begun = re.sub(_HALF_CHARACTER, "", found[0])
                return text[: len(text) - len(rest)] + begun + '"' + self.closers
        return text[: self.cut] + self.closers


_BEGINNING: Final = _Scan(0, 0, "", _VALUE)
