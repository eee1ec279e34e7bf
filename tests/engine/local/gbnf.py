"""A reader of llama.cpp's grammar notation that writes random sentences: what a led model could write.

Reads the part of the notation that our compiler uses, from the notation's description and not from the
compiler.
"""

from __future__ import annotations

import random
import re

TOKEN = re.compile(
    r"""\s+ | "(?P<literal>(?:\\.|[^"\\])*)" | \[(?P<set>(?:\\.|[^\]\\])*)\]
    | \{(?P<low>\d+)(?P<comma>,(?P<high>\d+)?)?\} | (?P<name>[a-z][a-z0-9]*) | (?P<mark>[()|?*+])""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:x(..)|u(....)|U(........)|(.))")
PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(int(code, 16)) if code else PLAIN.get(match[4], match[4])

    return ESCAPE.sub(one, text)


class Rules:
    def __init__(self, text: str) -> None:
        self.rules = {}
        for line in text.splitlines():
            name, _, body = line.partition(" ::= ")
            self.rules[name] = Parser(body).parse()

    def sentence(self, rng: random.Random, node=None) -> str:
        kind, *parts = node or self.rules["root"]
        if kind == "literal":
            return parts[0]
        if kind == "set":
            return rng.choice(parts[0])
        if kind == "name":
            return self.sentence(rng, self.rules[parts[0]])
        if kind == "any":
            return self.sentence(rng, rng.choice(parts[0]))
        if kind == "all":
            return "".join(self.sentence(rng, part) for part in parts[0])
        inner, low, high = parts
        return "".join(self.sentence(rng, inner) for _ in range(rng.randint(low, high)))


class Parser:
    def __init__(self, text: str) -> None:
        self.tokens = []
        at = 0
        while at < len(text):
            match = TOKEN.match(text, at)
            assert match, f"not in the notation: {text[at : at + 40]}"
            at = match.end()
            if match.group().strip():
                self.tokens.append(match)
        self.at = 0

    def parse(self):
        node = self.alternatives()
        assert self.at == len(self.tokens), "an unmatched parenthesis"
        return node

    def mark(self) -> str:
        return (self.tokens[self.at]["mark"] or "") if self.at < len(self.tokens) else ")"

    def alternatives(self):
        branches = [self.sequence()]
        while self.at < len(self.tokens) and self.mark() == "|":
            self.at += 1
            branches.append(self.sequence())
        return ("any", branches)

    def sequence(self):
        parts = []
        while self.at < len(self.tokens) and self.mark() not in ("|", ")"):
            parts.append(self.item())
        return ("all", parts)

    def item(self):
        token = self.tokens[self.at]
        self.at += 1
        if token["literal"] is not None:
            node = ("literal", unescape(token["literal"]))
        elif token["set"] is not None:
            node = ("set", members(token["set"]))
        elif token["name"]:
            node = ("name", token["name"])
        else:
            assert token["mark"] == "(", token.group()
            node = self.alternatives()
            assert self.mark() == ")"
            self.at += 1
        return self.repeated(node)

    def repeated(self, node):
        if self.at == len(self.tokens):
            return node
        token = self.tokens[self.at]
        if token["low"] is not None:
            self.at += 1
            low = int(token["low"])
            high = int(token["high"]) if token["high"] else low
            assert token["high"] or not token["comma"], "an unbounded repetition"
            assert low <= high
            return ("repeat", node, low, high)
        if token["mark"] == "?":
            self.at += 1
            return ("repeat", node, 0, 1)
        assert token["mark"] not in ("*", "+"), "an unbounded repetition"
        return node


def members(text: str) -> list[str]:
    negated = text.startswith("^")
    parts = re.findall(r"\\x..|\\u....|\\U........|\\.|.", text[negated:])
    chars: set[str] = set()
    at = 0
    while at < len(parts):
        first = unescape(parts[at])
        if at + 2 < len(parts) and parts[at + 1] == "-":
            last = unescape(parts[at + 2])
            assert first <= last
            chars.update(chr(code) for code in range(ord(first), ord(last) + 1))
            at += 3
        else:
            chars.add(first)
            at += 1
    if negated:
        alphabet = [chr(code) for code in range(0x20, 0x7F)] + list('\x00\n\t"\\éß漢😀\u2028')
        return [char for char in alphabet if char not in chars]
    assert chars
    return sorted(chars)
