"""The code blocks of a Markdown page, so that tests can do what the page says.

A comment `<!-- run: how -->` on the line before a block says how it is run where that is not by its language.
"""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent

_BLOCK = re.compile(r"(?:<!-- run: ([a-z-]+) -->\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One block: its page, the line it starts on, its language, what it says and how it is run."""

    page: str
    line: int
    language: str
    text: str
    run: str

    def __str__(self):
        return f"{self.page}:{self.line}"


def read(page):
    """The text of a page of the repository, `docs/guide.md`."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """All code blocks of a page, in order."""
    text = read(page)
    found = [
        Block(page, text.count("\n", 0, match.start(2)) + 1, match[2], match[3], match[1] or match[2])
        for match in _BLOCK.finditer(text)
    ]
    assert len(found) * 2 == len(re.findall("^```", text, re.MULTILINE)), "a block that was not understood"
    return found


def commands(block):
    """The commands of a `console` block, each with what the page shows as its output."""
    pairs = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            pairs.append((line[2:], []))
        else:
            pairs[-1][1].append(line)
    return [(command, "\n".join(output)) for command, output in pairs]
