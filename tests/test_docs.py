"""The documentation is current and complete: what is in the code is found there, and links lead somewhere."""

import re

import click
import pytest
from docs import render

from clients.refusals import ALL
from documents import ROOT, blocks, read
from outcrop import config
from outcrop.cli.group import ABOUT, COMMANDS
from outcrop.errors import AuthFault, Fault
from outcrop.wire.operations import OPERATIONS

PAGES = ["README.md", "README.id.md", "CHANGELOG.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] + [
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
]


@pytest.mark.parametrize(("page", "text"), render.pages().items(), ids=list(render.pages()))
def test_a_drawn_page_is_current(page, text):
    assert read(f"docs/{page}") == text, "run: python docs/render.py"


def test_every_operation_is_described():
    page = read("docs/operations.md")
    for operation in OPERATIONS:
        assert f"| {operation.name} | {operation.service} | `{operation.method} {operation.path}` |" in page


def kinds_of(kind):
    for child in kind.__subclasses__():
        yield child
        yield from kinds_of(child)


def test_every_error_is_described():
    page = read("docs/refusals.md")
    for kind in kinds_of(Fault):
        if kind is not AuthFault:
            assert re.search(rf"^\| .*\b{kind.__name__}\b.* \| {kind('').status} \|", page, re.MULTILINE), (
                kind
            )


def test_there_are_at_least_forty_refusals_and_each_is_a_row():
    rows = re.findall(r"^\| .* \| [45]\d\d \| \w+ \| (?:`.*` )?", read("docs/refusals.md"), re.MULTILINE)
    assert len(ALL) >= 40
    assert len(rows) >= len(ALL)


def test_every_setting_is_described_with_its_variable_and_purpose():
    page = read("docs/configuration.md")
    for setting in config.catalogue().values():
        row = next(line for line in page.splitlines() if f"`{setting.variable}`" in line)
        assert row.startswith(f"| `{setting.where[-1]}` |")
        assert setting.purpose in row
        assert f"## [{'.'.join(setting.where[:-1])}]" in page


def test_the_examples_of_a_configuration_are_right(tmp_path):
    examples = [block for block in blocks("docs/configuration.md") if block.language == "toml"]
    assert len(examples) == 2
    for block in examples:
        path = tmp_path / "outcrop.toml"
        path.write_text(block.text, encoding="utf-8")
        assert config.check(path, env={})[1] == []


def test_every_command_and_every_flag_is_described():
    page = read("docs/cli.md")
    described = list(render.commands())
    assert {words[0] for words, _ in described if words} == set(COMMANDS)
    for words, command in described:
        heading = " ".join(("outcrop", *words))
        part = re.search(rf"^#+ {heading}\n\n```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        assert part is not None, heading
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert param.opts[0] in part[1]


def test_every_engine_and_every_page_is_in_the_index():
    engines = read("docs/engines.md")
    for kind in ("local", "messages", "scripted"):
        assert f"## {kind}\n" in engines
    index = read("docs/README.md")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index


@pytest.mark.parametrize("page", ["README.md", "README.id.md", "docs/guide.md", "docs/cli.md"])
def test_what_answers_is_said_where_a_person_looks_first(page):
    beginning = read(page)[:1600]
    assert "SmolLM2" in beginning
    assert "Claude" in beginning


def test_the_command_and_the_readme_say_the_same():
    for words in (
        "SmolLM2",
        "`model` field only repeats what was asked for",
        "affiliated with Anthropic or AWS",
    ):
        assert words in ABOUT
        assert words in " ".join(read("README.md").replace("> ", "").split())


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = read(page)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there.read_text(encoding="utf-8")), target
