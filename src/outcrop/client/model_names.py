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
            "claude-haiku-5-5",
            "claude-sonnet-5-5",
            "claude-opus-5-5",
            "claude-fable-5-1",
            "claude-opus-5",
            "claude-sonnet-5",
            "claude-fable-5",
            "claude-opus-4-8",
            "claude-opus-4-7",
            "claude-sonnet-4-6",
            "claude-opus-4-6",
            "claude-opus-4-5-20251101", "claude-opus-4-5",
            "claude-haiku-4-5-20251001", "claude-haiku-4-5",
            "claude-sonnet-4-5-20250929", "claude-sonnet-4-5",
            "claude-opus-4-1-20250805", "claude-opus-4-1",
            "claude-sonnet-4-20250514", "claude-sonnet-4", "claude-sonnet-4-0",
            "claude-opus-4-20250514", "claude-opus-4", "claude-opus-4-0",
            "claude-3-7-sonnet-20250219", "claude-3-7-sonnet", "claude-3-7-sonnet-latest",
            "claude-3-5-haiku-20241022", "claude-3-5-haiku", "claude-3-5-haiku-latest",
            "claude-3-opus-20240229", "claude-3-opus", "claude-3-opus-latest",
            "claude-3-haiku-20240307", "claude-3-haiku",
            "anthropic.claude-haiku-5-5", "global.anthropic.claude-haiku-5-5",
            "us.anthropic.claude-haiku-5-5", "eu.anthropic.claude-haiku-5-5", "jp.anthropic.claude-haiku-5-5",
            "au.anthropic.claude-haiku-5-5", "us-gov.anthropic.claude-haiku-5-5",
            "anthropic.claude-sonnet-5-5", "global.anthropic.claude-sonnet-5-5",
            "us.anthropic.claude-sonnet-5-5", "eu.anthropic.claude-sonnet-5-5",
            "au.anthropic.claude-sonnet-5-5", "us-gov.anthropic.claude-sonnet-5-5",
            "anthropic.claude-opus-5-5", "global.anthropic.claude-opus-5-5", "us.anthropic.claude-opus-5-5",
            "eu.anthropic.claude-opus-5-5", "jp.anthropic.claude-opus-5-5", "au.anthropic.claude-opus-5-5",
            "us-gov.anthropic.claude-opus-5-5",
            "anthropic.claude-fable-5-1", "global.anthropic.claude-fable-5-1",
            "us.anthropic.claude-fable-5-1", "us-gov.anthropic.claude-fable-5-1",
            "anthropic.claude-opus-5", "global.anthropic.claude-opus-5", "us.anthropic.claude-opus-5",
            "eu.anthropic.claude-opus-5", "au.anthropic.claude-opus-5", "in.anthropic.claude-opus-5",
            "us-gov.anthropic.claude-opus-5",
            "anthropic.claude-sonnet-5", "global.anthropic.claude-sonnet-5", "us.anthropic.claude-sonnet-5",
            "eu.anthropic.claude-sonnet-5", "au.anthropic.claude-sonnet-5", "in.anthropic.claude-sonnet-5",
            "us-gov.anthropic.claude-sonnet-5",
            "anthropic.claude-fable-5", "global.anthropic.claude-fable-5", "us.anthropic.claude-fable-5",
            "anthropic.claude-opus-4-8", "global.anthropic.claude-opus-4-8", "us.anthropic.claude-opus-4-8",
            "eu.anthropic.claude-opus-4-8", "jp.anthropic.claude-opus-4-8", "au.anthropic.claude-opus-4-8",
            "us-gov.anthropic.claude-opus-4-8",
            "anthropic.claude-opus-4-7", "global.anthropic.claude-opus-4-7", "us.anthropic.claude-opus-4-7",
            "eu.anthropic.claude-opus-4-7", "jp.anthropic.claude-opus-4-7", "au.anthropic.claude-opus-4-7",
            "anthropic.claude-sonnet-4-6", "global.anthropic.claude-sonnet-4-6",
            "us.anthropic.claude-sonnet-4-6", "eu.anthropic.claude-sonnet-4-6",
            "jp.anthropic.claude-sonnet-4-6", "au.anthropic.claude-sonnet-4-6",
            "anthropic.claude-opus-4-6-v1", "global.anthropic.claude-opus-4-6-v1",
            "us.anthropic.claude-opus-4-6-v1", "eu.anthropic.claude-opus-4-6-v1",
            "au.anthropic.claude-opus-4-6-v1",
            "anthropic.claude-opus-4-5-20251101-v1:0", "global.anthropic.claude-opus-4-5-20251101-v1:0",
            "us.anthropic.claude-opus-4-5-20251101-v1:0", "eu.anthropic.claude-opus-4-5-20251101-v1:0",
            "anthropic.claude-haiku-4-5-20251001-v1:0", "global.anthropic.claude-haiku-4-5-20251001-v1:0",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0", "eu.anthropic.claude-haiku-4-5-20251001-v1:0",
            "au.anthropic.claude-haiku-4-5-20251001-v1:0", "jp.anthropic.claude-haiku-4-5-20251001-v1:0",
            "in.anthropic.claude-haiku-4-5-20251001-v1:0",
            "anthropic.claude-sonnet-4-5-20250929-v1:0", "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "jp.anthropic.claude-sonnet-4-5-20250929-v1:0", "au.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "anthropic.claude-opus-4-1-20250805-v1:0", "us.anthropic.claude-opus-4-1-20250805-v1:0",
            "anthropic.claude-sonnet-4-20250514-v1:0", "global.anthropic.claude-sonnet-4-20250514-v1:0",
            "us.anthropic.claude-sonnet-4-20250514-v1:0", "eu.anthropic.claude-sonnet-4-20250514-v1:0",
            "apac.anthropic.claude-sonnet-4-20250514-v1:0",
            "anthropic.claude-opus-4-20250514-v1:0", "us.anthropic.claude-opus-4-20250514-v1:0",
            "anthropic.claude-3-7-sonnet-20250219-v1:0", "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
            "eu.anthropic.claude-3-7-sonnet-20250219-v1:0", "apac.anthropic.claude-3-7-sonnet-20250219-v1:0",
            "anthropic.claude-3-5-haiku-20241022-v1:0", "us.anthropic.claude-3-5-haiku-20241022-v1:0",
            "anthropic.claude-3-opus-20240229-v1:0", "us.anthropic.claude-3-opus-20240229-v1:0",
            "anthropic.claude-3-haiku-20240307-v1:0", "us.anthropic.claude-3-haiku-20240307-v1:0",
            "eu.anthropic.claude-3-haiku-20240307-v1:0", "apac.anthropic.claude-3-haiku-20240307-v1:0",
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
