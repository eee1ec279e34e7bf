"""What a model can be called, for editors and type checkers, and since when a model is deprecated.

Drawn by docs/names.py from the catalogue. Change that, and run it. Importing this costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

# fmt: off
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    ModelName: TypeAlias = (
        Literal[
            "claude-haiku-5-5", "claude-sonnet-5-5", "claude-opus-5-5", "claude-fable-5-1", "claude-opus-5",
            "claude-sonnet-5", "claude-fable-5", "claude-opus-4-8", "claude-opus-4-7", "claude-sonnet-4-6",
            "claude-opus-4-6", "claude-opus-4-5-20251101", "claude-opus-4-5", "claude-haiku-4-5-20251001",
            "claude-haiku-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5", "claude-opus-4-1-20250805",
            "claude-opus-4-1",
            "anthropic.claude-haiku-5-5", "anthropic.claude-sonnet-5-5", "anthropic.claude-opus-5-5",
            "anthropic.claude-fable-5-1", "anthropic.claude-opus-5", "anthropic.claude-sonnet-5",
            "anthropic.claude-fable-5", "anthropic.claude-opus-4-8", "anthropic.claude-opus-4-7",
            "anthropic.claude-sonnet-4-6", "anthropic.claude-opus-4-6-v1",
            "anthropic.claude-opus-4-5-20251101-v1:0", "anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-opus-4-1-20250805-v1:0",
        ]
        | str
    )
else:
    ModelName = str

# By edition and bare id. An edition's own day counts as past, whatever the clock says.
AS_OF: Final = {
    "guide": "2025-12-19",
    "2026-11": "2026-11-22",
}
LEGACY: Final = {
    "guide": {
        "anthropic.claude-3-opus-20240229-v1:0": "2025-06-30",
        "anthropic.claude-3-5-haiku-20241022-v1:0": "2025-12-19",
        "anthropic.claude-3-7-sonnet-20250219-v1:0": "2025-10-28",
    },
    "2026-11": {
        "anthropic.claude-3-haiku-20240307-v1:0": "2026-03-10",
        "anthropic.claude-3-opus-20240229-v1:0": "2025-06-30",
        "anthropic.claude-3-5-haiku-20241022-v1:0": "2025-12-19",
        "anthropic.claude-3-7-sonnet-20250219-v1:0": "2025-10-28",
        "anthropic.claude-opus-4-20250514-v1:0": "2025-10-01",
        "anthropic.claude-sonnet-4-20250514-v1:0": "2026-04-14",
        "anthropic.claude-opus-4-1-20250805-v1:0": "2026-07-08",
        "anthropic.claude-sonnet-4-5-20250929-v1:0": "2026-10-08",
    },
}
