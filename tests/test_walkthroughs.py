"""Pages that are walked from top to bottom: each block does what the page says, after all those before it.

A `toml` block is the settings from there on, `serve` blocks start the endpoint anew, `console` blocks are
typed in bash after `eval "$(outcrop env)"`, Python programs are run. What they print is what the page shows,
`…` standing for anything.
"""

import re
import shlex

import pytest

from documents import blocks, commands, read
from test_readme import Workspace, stopped

PAGES = ["docs/access.md", "docs/permissions.md", "docs/routing.md", "docs/quotas.md"]
MARK = "---- next ----"


def same(printed, shown):
    """Whether a program printed what the page shows; runs of spaces, which align columns, are alike."""

    def plain(text):
        return re.sub(r"[ \t]+", " ", "\n".join(line.rstrip() for line in text.strip().splitlines()))

    pattern = re.escape(plain(shown).replace(" … ", " …")).replace("…", ".*")
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None


def typed(workspace, block):
    """The commands of a session, each with what it printed and what the page shows."""
    steps = commands(block)
    script = "".join(f"{command}\necho {shlex.quote(MARK)}\n" for command, _ in steps)
    done = workspace.bash(f'eval "$(outcrop env)"\nset +e\nexec 2>&1\n{script}')
    assert done.returncode == 0, done.stdout + done.stderr
    printed = done.stdout.split(f"{MARK}\n")[:-1]
    return [(command, text, shown) for (command, shown), text in zip(steps, printed, strict=True)]


@pytest.mark.parametrize("page", PAGES)
def test_the_walkthrough(page, tmp_path):
    workspace, process, program = Workspace(tmp_path), None, None
    if "[engines." in read(page):  # which take the place of the one that the workspace chooses
        del workspace.env["OUTCROP_ENGINE__KIND"]
    try:
        for block in blocks(page):
            if block.run == "serve":
                if process is not None:
                    stopped(process)
                process, _ = workspace.start(block.text.strip())
            elif block.run == "toml":
                (workspace.folder / "outcrop.toml").write_text(block.text, encoding="utf-8")
            elif block.run == "console":
                for command, printed, shown in typed(workspace, block):
                    assert same(printed, shown), f"{block}: $ {command}\n{printed}"
            elif block.run == "python":
                (workspace.folder / "app.py").write_text(block.text, encoding="utf-8")
                program = workspace.bash('eval "$(outcrop env)"\npython app.py')
                assert program.returncode == 0, f"{block}\n{program.stderr}"
            else:
                assert block.language == "text", f"{block}: nothing runs it"
                assert same(program.stdout, block.text), f"{block}\n{program.stdout}"
    finally:
        if process is not None and process.poll() is None:
            stopped(process)
