"""How faults get into our log: on one line, whoever wrote the words. Knows no request, no reply."""

from __future__ import annotations

import logging
from typing import Final

from outcrop.errors import Fault

log = logging.getLogger("outcrop.service")

_LONGEST: Final = 1000


def warn(what: str, fault: Fault, request_id: str) -> None:
    """One warning: what went wrong where, with the reason that the caller is not told."""
    log.warning(
        "%s: %s %s (%s), request %s",
        _one_line(what),
        fault.name,
        _one_line(fault.text),
        _one_line(fault.reason) or "no further reason",
        request_id,
    )


def say(what: str, why: str = "") -> None:
    """One warning that is of no single request."""
    log.warning("%s", _one_line(f"{what}: {why}" if why else what))


def _one_line(text: str) -> str:
    """What a stranger may have written, fit for one line of a log: cut, and what does not show escaped."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
