"""Where each model can be called from and where it may then run, in each edition; where the regions lie.

Drawn by docs/names.py from the catalogue. Change that, and run it. Reading the catalogue itself would cost
the first call of a short name some ten milliseconds.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# fmt: off


class Offer(NamedTuple):
    """A model as an edition has it: its name, where its bare id runs on demand, and its profiles' routes.

    Routes, by scope: from each source region, the regions in which a call may run.
    """

    name: str
    on_demand: frozenset[str]
    routes: dict[str, dict[str, tuple[str, ...]]]


def _regions(names: str) -> frozenset[str]:
    return frozenset(names.split())


def _lines(*groups: tuple[str, str]) -> dict[str, tuple[str, ...]]:
    routes = {}
    for sources, destinations in groups:
        routes.update(dict.fromkeys(sources.split(), tuple(destinations.split())))
    return routes


_US_1: Final = _lines(
    (
        "us-east-1 us-west-2",
        "us-east-1 us-west-2",
    ),
    (
        "us-east-2",
        "us-east-1 us-east-2 us-west-2",
    ),
)
_EU_1: Final = _lines(
    (
        "eu-central-1 eu-west-1 eu-west-3",
        "eu-central-1 eu-west-1 eu-west-3",
    ),
)
_APAC_1: Final = _lines(
    (
        "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2",
        "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2",
    ),
)
_US_2: Final = _lines(
    (
        "us-east-1 us-west-2",
        "us-east-1 us-west-2",
    ),
)
_US_3: Final = _lines(
    (
        "us-east-1 us-east-2 us-west-2",
        "us-east-1 us-east-2 us-west-2",
    ),
)
_EU_2: Final = _lines(
    (
        "eu-central-1 eu-north-1 eu-west-1 eu-west-3",
        "eu-central-1 eu-north-1 eu-west-1 eu-west-3",
    ),
)
_APAC_2: Final = _lines(
    (
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2",
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2",
    ),
)
_GLOBAL_1: Final = _lines(
    (
        "ap-northeast-1 eu-west-1 us-east-1 us-east-2 us-west-2",
        "af-south-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
        "ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 "
        "eu-west-1 eu-west-2 eu-west-3 il-central-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 "
        "us-west-2",
    ),
)
_US_4: Final = _lines(
    (
        "us-east-1 us-east-2 us-west-2",
        "us-east-1 us-east-2 us-west-2",
    ),
    (
        "us-west-1",
        "us-east-1 us-east-2 us-west-1 us-west-2",
    ),
)
_EU_3: Final = _lines(
    (
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
    ),
    (
        "il-central-1",
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3 il-central-1",
    ),
)
_APAC_3: Final = _lines(
    (
        "ap-east-2",
        "ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 "
        "ap-southeast-2 ap-southeast-3 ap-southeast-4",
    ),
    (
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 "
        "ap-southeast-4",
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 "
        "ap-southeast-4",
    ),
    (
        "ap-southeast-3",
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 "
        "ap-southeast-3 ap-southeast-4",
    ),
    (
        "ap-southeast-5",
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 "
        "ap-southeast-3 ap-southeast-4 ap-southeast-5",
    ),
    (
        "ap-southeast-7",
        "ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 ap-southeast-2 "
        "ap-southeast-3 ap-southeast-4 ap-southeast-7",
    ),
)
_GLOBAL_2: Final = _lines(
    (
        "af-south-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
        "ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 "
        "eu-west-1 eu-west-2 eu-west-3 il-central-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 "
        "us-west-2",
        "af-south-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
        "ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 "
        "eu-west-1 eu-west-2 eu-west-3 il-central-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 "
        "us-west-2",
    ),
)
_US_5: Final = _lines(
    (
        "ca-central-1",
        "ca-central-1 us-east-1 us-east-2 us-west-2",
    ),
    (
        "us-east-1 us-east-2 us-west-2",
        "us-east-1 us-east-2 us-west-2",
    ),
    (
        "us-west-1",
        "us-east-1 us-east-2 us-west-1 us-west-2",
    ),
)
_EU_4: Final = _lines(
    (
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
    ),
    (
        "eu-central-2",
        "eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3",
    ),
    (
        "eu-west-2",
        "eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3",
    ),
)
_JP_1: Final = _lines(
    (
        "ap-northeast-1 ap-northeast-3",
        "ap-northeast-1 ap-northeast-3",
    ),
)
_AU_1: Final = _lines(
    (
        "ap-southeast-2 ap-southeast-4",
        "ap-southeast-2 ap-southeast-4",
    ),
    (
        "ap-southeast-6",
        "ap-southeast-2 ap-southeast-4 ap-southeast-6",
    ),
)
_US_6: Final = _lines(
    (
        "ca-central-1",
        "ca-central-1 us-east-1 us-east-2 us-west-2",
    ),
    (
        "ca-west-1",
        "ca-west-1 us-east-1 us-east-2 us-west-2",
    ),
    (
        "us-east-1 us-east-2 us-west-2",
        "us-east-1 us-east-2 us-west-2",
    ),
    (
        "us-west-1",
        "us-east-1 us-east-2 us-west-1 us-west-2",
    ),
)
_AU_2: Final = _lines(
    (
        "ap-southeast-2 ap-southeast-4",
        "ap-southeast-2 ap-southeast-4",
    ),
)
_US_GOV_1: Final = _lines(
    (
        "us-gov-east-1 us-gov-west-1",
        "us-gov-east-1 us-gov-west-1",
    ),
)
_IN_1: Final = _lines(
    (
        "ap-south-1 ap-south-2",
        "ap-south-1 ap-south-2",
    ),
)

EDITIONS: Final[dict[str, dict[str, Offer]]] = {
    "guide": {
        "anthropic.claude-3-haiku-20240307-v1:0": Offer(
            "Claude 3 Haiku",
            _regions(
                "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1 "
                "eu-central-1 eu-central-2 eu-west-1 eu-west-2 eu-west-3 sa-east-1 us-east-1 us-gov-west-1 "
                "us-west-2"
            ),
            {"us": _US_1, "eu": _EU_1, "apac": _APAC_1},
        ),
        "anthropic.claude-3-opus-20240229-v1:0": Offer(
            "Claude 3 Opus",
            _regions(""),
            {"us": _US_2},
        ),
        "anthropic.claude-3-5-haiku-20241022-v1:0": Offer(
            "Claude 3.5 Haiku",
            _regions("us-west-2"),
            {"us": _US_3},
        ),
        "anthropic.claude-3-7-sonnet-20250219-v1:0": Offer(
            "Claude 3.7 Sonnet",
            _regions("eu-west-2"),
            {"us": _US_3, "eu": _EU_2, "apac": _APAC_2},
        ),
        "anthropic.claude-opus-4-20250514-v1:0": Offer(
            "Claude Opus 4",
            _regions(""),
            {"us": _US_3},
        ),
        "anthropic.claude-sonnet-4-20250514-v1:0": Offer(
            "Claude Sonnet 4",
            _regions(""),
            {"global": _GLOBAL_1, "us": _US_4, "eu": _EU_3, "apac": _APAC_3},
        ),
        "anthropic.claude-opus-4-1-20250805-v1:0": Offer(
            "Claude Opus 4.1",
            _regions(""),
            {"us": _US_3},
        ),
        "anthropic.claude-sonnet-4-5-20250929-v1:0": Offer(
            "Claude Sonnet 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4, "jp": _JP_1, "au": _AU_1},
        ),
        "anthropic.claude-haiku-4-5-20251001-v1:0": Offer(
            "Claude Haiku 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4, "au": _AU_1},
        ),
        "anthropic.claude-opus-4-5-20251101-v1:0": Offer(
            "Claude Opus 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4},
        ),
        "anthropic.claude-opus-4-6-v1": Offer(
            "Claude Opus 4.6",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_1},
        ),
        "anthropic.claude-sonnet-4-6": Offer(
            "Claude Sonnet 4.6",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_1},
        ),
        "anthropic.claude-opus-4-7": Offer(
            "Claude Opus 4.7",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2},
        ),
        "anthropic.claude-opus-4-8": Offer(
            "Claude Opus 4.8",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-fable-5": Offer(
            "Claude Fable 5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6},
        ),
        "anthropic.claude-sonnet-5": Offer(
            "Claude Sonnet 5",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "in": _IN_1, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-opus-5": Offer(
            "Claude Opus 5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "in": _IN_1, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-fable-5-1": Offer(
            "Claude Fable 5.1",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-opus-5-5": Offer(
            "Claude Opus 5.5",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-sonnet-5-5": Offer(
            "Claude Sonnet 5.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-haiku-5-5": Offer(
            "Claude Haiku 5.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
    },
    "2026-11": {
        "anthropic.claude-3-haiku-20240307-v1:0": Offer(
            "Claude 3 Haiku",
            _regions(
                "ap-northeast-1 ap-northeast-2 ap-south-1 ap-southeast-1 ap-southeast-2 ca-central-1 "
                "eu-central-1 eu-central-2 eu-west-1 eu-west-2 eu-west-3 sa-east-1 us-east-1 us-gov-west-1 "
                "us-west-2"
            ),
            {"us": _US_1, "eu": _EU_1, "apac": _APAC_1},
        ),
        "anthropic.claude-3-opus-20240229-v1:0": Offer(
            "Claude 3 Opus",
            _regions(""),
            {"us": _US_2},
        ),
        "anthropic.claude-3-5-haiku-20241022-v1:0": Offer(
            "Claude 3.5 Haiku",
            _regions("us-west-2"),
            {"us": _US_3},
        ),
        "anthropic.claude-3-7-sonnet-20250219-v1:0": Offer(
            "Claude 3.7 Sonnet",
            _regions("eu-west-2"),
            {"us": _US_3, "eu": _EU_2, "apac": _APAC_2},
        ),
        "anthropic.claude-opus-4-20250514-v1:0": Offer(
            "Claude Opus 4",
            _regions(""),
            {"us": _US_3},
        ),
        "anthropic.claude-sonnet-4-20250514-v1:0": Offer(
            "Claude Sonnet 4",
            _regions(""),
            {"global": _GLOBAL_1, "us": _US_4, "eu": _EU_3, "apac": _APAC_3},
        ),
        "anthropic.claude-opus-4-1-20250805-v1:0": Offer(
            "Claude Opus 4.1",
            _regions(""),
            {"us": _US_3},
        ),
        "anthropic.claude-sonnet-4-5-20250929-v1:0": Offer(
            "Claude Sonnet 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4, "jp": _JP_1, "au": _AU_1, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-haiku-4-5-20251001-v1:0": Offer(
            "Claude Haiku 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4, "jp": _JP_1, "au": _AU_1, "in": _IN_1},
        ),
        "anthropic.claude-opus-4-5-20251101-v1:0": Offer(
            "Claude Opus 4.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_5, "eu": _EU_4},
        ),
        "anthropic.claude-opus-4-6-v1": Offer(
            "Claude Opus 4.6",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_1},
        ),
        "anthropic.claude-sonnet-4-6": Offer(
            "Claude Sonnet 4.6",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_1},
        ),
        "anthropic.claude-opus-4-7": Offer(
            "Claude Opus 4.7",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2},
        ),
        "anthropic.claude-opus-4-8": Offer(
            "Claude Opus 4.8",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-fable-5": Offer(
            "Claude Fable 5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6},
        ),
        "anthropic.claude-sonnet-5": Offer(
            "Claude Sonnet 5",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "in": _IN_1, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-opus-5": Offer(
            "Claude Opus 5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "in": _IN_1, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-fable-5-1": Offer(
            "Claude Fable 5.1",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-opus-5-5": Offer(
            "Claude Opus 5.5",
            _regions("eu-west-2"),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-sonnet-5-5": Offer(
            "Claude Sonnet 5.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
        "anthropic.claude-haiku-5-5": Offer(
            "Claude Haiku 5.5",
            _regions(""),
            {"global": _GLOBAL_2, "us": _US_6, "eu": _EU_4, "jp": _JP_1, "au": _AU_2, "us-gov": _US_GOV_1},
        ),
    },
}
# Where a model newer than the catalogue will route: as all since Sonnet 4.5 do.
NEWER: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "global": _GLOBAL_2,
    "us": _US_6,
    "eu": _EU_4,
    "jp": _JP_1,
    "au": _AU_1,
    "in": _IN_1,
    "us-gov": _US_GOV_1,
}
SHORT_NAMES: Final = {
    "claude-3-haiku-20240307": "anthropic.claude-3-haiku-20240307-v1:0",
    "claude-3-haiku": "anthropic.claude-3-haiku-20240307-v1:0",
    "claude-3-opus-20240229": "anthropic.claude-3-opus-20240229-v1:0",
    "claude-3-opus": "anthropic.claude-3-opus-20240229-v1:0",
    "claude-3-opus-latest": "anthropic.claude-3-opus-20240229-v1:0",
    "claude-3-5-haiku-20241022": "anthropic.claude-3-5-haiku-20241022-v1:0",
    "claude-3-5-haiku": "anthropic.claude-3-5-haiku-20241022-v1:0",
    "claude-3-5-haiku-latest": "anthropic.claude-3-5-haiku-20241022-v1:0",
    "claude-3-7-sonnet-20250219": "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "claude-3-7-sonnet": "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "claude-3-7-sonnet-latest": "anthropic.claude-3-7-sonnet-20250219-v1:0",
    "claude-opus-4-20250514": "anthropic.claude-opus-4-20250514-v1:0",
    "claude-opus-4": "anthropic.claude-opus-4-20250514-v1:0",
    "claude-opus-4-0": "anthropic.claude-opus-4-20250514-v1:0",
    "claude-sonnet-4-20250514": "anthropic.claude-sonnet-4-20250514-v1:0",
    "claude-sonnet-4": "anthropic.claude-sonnet-4-20250514-v1:0",
    "claude-sonnet-4-0": "anthropic.claude-sonnet-4-20250514-v1:0",
    "claude-opus-4-1-20250805": "anthropic.claude-opus-4-1-20250805-v1:0",
    "claude-opus-4-1": "anthropic.claude-opus-4-1-20250805-v1:0",
    "claude-sonnet-4-5-20250929": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-sonnet-4-5": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-haiku-4-5-20251001": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-haiku-4-5": "anthropic.claude-haiku-4-5-20251001-v1:0",
    "claude-opus-4-5-20251101": "anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-5": "anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-4-6": "anthropic.claude-opus-4-6-v1",
    "claude-sonnet-4-6": "anthropic.claude-sonnet-4-6",
    "claude-opus-4-7": "anthropic.claude-opus-4-7",
    "claude-opus-4-8": "anthropic.claude-opus-4-8",
    "claude-fable-5": "anthropic.claude-fable-5",
    "claude-sonnet-5": "anthropic.claude-sonnet-5",
    "claude-opus-5": "anthropic.claude-opus-5",
    "claude-fable-5-1": "anthropic.claude-fable-5-1",
    "claude-opus-5-5": "anthropic.claude-opus-5-5",
    "claude-sonnet-5-5": "anthropic.claude-sonnet-5-5",
    "claude-haiku-5-5": "anthropic.claude-haiku-5-5",
}
GEOGRAPHIES: Final = {
    "global": _regions(
        "af-south-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
        "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 "
        "ap-southeast-7 ca-central-1 ca-west-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 "
        "eu-west-1 eu-west-2 eu-west-3 il-central-1 mx-central-1 sa-east-1 us-east-1 us-east-2 "
        "us-gov-east-1 us-gov-west-1 us-west-1 us-west-2"
    ),
    "us": _regions("us-east-1 us-east-2 us-west-1 us-west-2"),
    "eu": _regions("eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3"),
    "jp": _regions("ap-northeast-1 ap-northeast-3"),
    "apac": _regions(
        "ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1 "
        "ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7"
    ),
    "au": _regions("ap-southeast-2 ap-southeast-4"),
    "in": _regions("ap-south-1 ap-south-2"),
    "us-gov": _regions("us-gov-east-1 us-gov-west-1"),
}
