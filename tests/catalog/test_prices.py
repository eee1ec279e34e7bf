"""What a call cost: bills worked out by hand, the rules as properties, and the text with the arithmetic."""

from __future__ import annotations

import copy
import decimal
import pickle
import re
import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.catalog import facts
from outcrop.catalog.prices import Cost, Tokens, cost, cost_of

SONNET_4_5 = "anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
SONNET_3_7 = "anthropic.claude-3-7-sonnet-20250219-v1:0"
OPUS_4_5 = "anthropic.claude-opus-4-5-20251101-v1:0"
OPUS_4_1 = "anthropic.claude-opus-4-1-20250805-v1:0"
HAIKU_4_5 = "anthropic.claude-haiku-4-5-20251001-v1:0"
HAIKU_3_5 = "anthropic.claude-3-5-haiku-20241022-v1:0"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
HAIKU_5_5 = "anthropic.claude-haiku-5-5"
FABLE_5_1 = "anthropic.claude-fable-5-1"

MODELS = [row["id"] for row in facts()["models"]]
WITH_PREMIUM = MODELS[MODELS.index(SONNET_4_5) :]
GEOGRAPHIES = ("us", "eu", "jp", "apac", "au", "in", "")
NUMBERS = st.integers(0, 50_000)
NAMES = st.sampled_from(
    (
        "input_tokens",
        "output_tokens",
        "cache_creation",
        "cache_creation_input_tokens",
        "ephemeral_1h_input_tokens",
        "inputTokens",
        "outputTokens",
        "cacheDetails",
        "ttl",
    )
)
COUNTS = st.builds(Tokens, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS)


def bill(base: str, scope: str, tokens: Tokens, region: str = "") -> Cost:
    found = cost(base, scope, tokens, region=region)
    assert found is not None
    return found


# Each by hand, from the guide's premium and the list prices: dollars a million times tokens.
@pytest.mark.parametrize(
    ("base", "scope", "tokens", "usd"),
    [
        # 3, 15
        (SONNET_4_5, "global", Tokens(12, 5), "0.000111"),
        # 3.30, 16.50: 0.0000396 + 0.0000825
        (SONNET_4_5, "eu", Tokens(12, 5), "0.0001221"),
        (SONNET_4_5, "", Tokens(12, 5), "0.0001221"),
        # 3.60, 18: 0.0000432 + 0.00009
        (SONNET_4_5, "us-gov", Tokens(12, 5), "0.0001332"),
        # 3, 15, 3.75, 6, 0.30: 0.003 + 0.015 + 0.00375 + 0.006 + 0.0003
        (SONNET_4_5, "global", Tokens(1000, 1000, 1000, 1000, 1000), "0.02805"),
        # over 200,000: 6, 22.50: 1.2 + 0.000006 + 0.0225
        (SONNET_4_5, "global", Tokens(200_001, 1000), "1.222506"),
        # over 200,000 with the cache: 6.60, 24.75, 0.66: 0.0066 + 0.02475 + 0.132
        (SONNET_4_5, "us", Tokens(1000, 1000, 0, 0, 200_000), "0.16335"),
        # no premium before Sonnet 4.5
        (SONNET_4, "global", Tokens(1000, 100), "0.0045"),
        (SONNET_4, "apac", Tokens(1000, 100), "0.0045"),
        (SONNET_4, "eu", Tokens(300_000, 10), "1.800225"),
        (SONNET_3_7, "us", Tokens(10, 20, 30, 0, 40), "0.0004545"),  # 30 + 300 + 112.5 + 12 millionths
        (OPUS_4_5, "global", Tokens(2000, 300), "0.0175"),
        (OPUS_4_5, "us", Tokens(2000, 300), "0.01925"),
        (OPUS_4_1, "us", Tokens(100, 10, 1000, 0, 1000), "0.0225"),  # 1500 + 750 + 18750 + 1500 millionths
        (HAIKU_4_5, "global", Tokens(1_000_000, 1_000_000), "6"),
        (HAIKU_4_5, "au", Tokens(7, 3), "0.0000242"),
        (HAIKU_3_5, "us", Tokens(1000, 1000, 0, 0, 1000), "0.00488"),
        (HAIKU_3, "", Tokens(1000, 1000), "0.0015"),
        # Haiku 5.5 has its limit at 100,000: 0.10 and 0.50, then 0.50 and 2.50
        (HAIKU_5_5, "global", Tokens(100_000, 10), "0.010005"),
        (HAIKU_5_5, "global", Tokens(100_001, 10), "0.0500255"),
        # 0.275 for a read: the one price with three places
        (FABLE_5_1, "us", Tokens(0, 0, 0, 0, 3), "0.000000825"),
    ],
)
def test_bills_worked_out_by_hand(base: str, scope: str, tokens: Tokens, usd: str) -> None:
    found = bill(base, scope, tokens)
    assert found.usd == Decimal(usd)
    assert float(found) == float(usd)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WITH_PREMIUM), st.sampled_from(GEOGRAPHIES), COUNTS)
def test_the_premium_is_a_tenth_exactly(base: str, scope: str, tokens: Tokens) -> None:
    assert bill(base, scope, tokens).usd == bill(base, "global", tokens).usd * Decimal("1.1")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WITH_PREMIUM), COUNTS)
def test_govclouds_premium_is_a_fifth_where_there_is_a_price(base: str, tokens: Tokens) -> None:
    found = cost(base, "us-gov", tokens)
    if found is not None:
        assert found.usd == bill(base, "global", tokens).usd * Decimal("1.2")
        assert found == bill(base, "us-gov", tokens, region="us-gov-west-1")
        assert found.usd == bill(base, "", tokens, region="us-gov-east-1").usd


def test_older_models_have_one_price() -> None:
    tokens = Tokens(1000, 1000)
    assert {bill(SONNET_4, scope, tokens).usd for scope in ("global", *GEOGRAPHIES)} == {Decimal("0.018")}
    assert len({bill(HAIKU_3, scope, tokens).usd for scope in GEOGRAPHIES}) == 1


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WITH_PREMIUM), st.sampled_from(("global", *GEOGRAPHIES)), COUNTS, COUNTS)
def test_a_bill_is_linear_within_a_tier(base: str, scope: str, one: Tokens, other: Tokens) -> None:
    if max(one.prompt, other.prompt) > 100_000 or one.prompt + other.prompt > 100_000:
        one, other = (Tokens(*(count // 10 for count in tokens)) for tokens in (one, other))
    both = Tokens(*map(sum, zip(one, other, strict=True)))
    assert (bill(base, scope, one) + bill(base, scope, other)).usd == bill(base, scope, both).usd
    thrice = sum([bill(base, scope, one)] * 3, start=Cost((), ""))
    assert thrice.usd == 3 * bill(base, scope, one).usd


@pytest.mark.parametrize("kind", ["input", "cache_write_5m", "cache_write_1h", "cache_read"])
def test_the_long_prompts_prices_begin_above_the_limit_whatever_fills_it(kind: str) -> None:
    rest = Tokens(output=1)
    at, above = rest._replace(**{kind: 200_000}), rest._replace(**{kind: 200_001})
    told = next(row for row in facts()["models"] if row["id"] == SONNET_4_5)["price"]["global"]
    for tokens, prefix in ((at, ""), (above, "over_200k_")):
        price = Decimal(str(told[prefix + kind]))
        expected = (price * getattr(tokens, kind) + Decimal(str(told[f"{prefix}output"]))) / 1_000_000
        assert bill(SONNET_4_5, "global", tokens).usd == expected
    # a long answer makes no long prompt
    assert "long prompt" not in str(bill(SONNET_4_5, "global", Tokens(200_000, 500_000)))
    assert "long prompt of over 200,000 tokens" in str(bill(SONNET_4_5, "global", above))


@pytest.mark.parametrize(
    ("base", "scope", "tokens"),
    [
        ("anthropic.claude-of-next-year", "global", Tokens(1, 1)),
        ("", "", Tokens(1, 1)),
        (SONNET_4_5, "ca", Tokens(1, 1)),
        (OPUS_4_1, "global", Tokens(1, 1)),  # no such endpoint
        (HAIKU_4_5, "us-gov", Tokens(1, 1)),
        (HAIKU_3, "us", Tokens(1, 1, cache_read=1)),  # it has no cache
        (SONNET_4, "us", Tokens(1, 1, cache_write_1h=1)),  # nor this one for an hour
    ],
)
def test_what_has_no_price_has_no_cost(base: str, scope: str, tokens: Tokens) -> None:
    assert cost(base, scope, tokens) is None


def test_all_prices_can_be_told() -> None:
    """No price of the table is one that the arithmetic or the text can't hold."""
    for row in facts()["models"]:
        for column in row["price"].keys() - {"source"}:
            scope = {"global": "global", "regional": "eu", "us_gov": "us-gov"}[column]
            for tokens in (Tokens(1, 1), Tokens(999_999, 1)):
                assert str(bill(row["id"], scope, tokens)).startswith("$")


# --- usage ---


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 12, "output_tokens": 5}, Tokens(12, 5)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_creation_input_tokens": 70,
                "cache_read_input_tokens": 9,
                "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 40},
            },
            Tokens(1, 2, 30, 40, 9),
        ),
        ({"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 70}, Tokens(1, 2, 70)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 0,
                "cache_creation": {"ephemeral_1h_input_tokens": 4, "ephemeral_5m_input_tokens": 3},
            },
            Tokens(1, 0, 3, 4),
        ),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "cache_creation": None,
                "cache_read_input_tokens": None,
            },
            Tokens(1, 2),
        ),
        ({"inputTokens": 11, "outputTokens": 236, "totalTokens": 247}, Tokens(11, 236)),
        (
            {
                "inputTokens": 11,
                "outputTokens": 236,
                "totalTokens": 1275,
                "cacheReadInputTokens": 7,
                "cacheReadInputTokenCount": 7,
                "cacheWriteInputTokens": 1028,
                "cacheWriteInputTokenCount": 1028,
                "cacheDetails": [{"inputTokens": 1000, "ttl": "1h"}, {"inputTokens": 28, "ttl": "5m"}],
            },
            Tokens(11, 236, 28, 1000, 7),
        ),
        ({"inputTokens": 11, "outputTokens": 2, "cacheWriteInputTokens": 30}, Tokens(11, 2, 30)),
    ],
)
def test_usage_is_read_from_either_api(usage: dict[str, object], tokens: Tokens) -> None:
    assert Tokens.of(usage) == tokens

    class Value:
        def to_dict(self) -> dict[str, object]:
            return usage

    assert Tokens.of(Value()) == tokens
    assert cost_of(SONNET_4_5, "us", usage) == cost(SONNET_4_5, "us", tokens)


HALF: list[dict[str, object]] = [
    {"input_tokens": 1},
    {"output_tokens": 1},
    {"input_tokens": 1, "output_tokens": None},
    {"inputTokens": 1},
    {"inputTokens": 1, "outputTokens": "7"},
    {"inputTokens": None, "outputTokens": 7},
]
BROKEN: list[object] = [
    None,
    [],
    "12",
    {},
    {"input_tokens": True, "output_tokens": 1},
    {"input_tokens": -1, "output_tokens": 1},
    {"input_tokens": 1.0, "output_tokens": 1},
    {"input_tokens": 10**400, "output_tokens": 1},
    {"input_tokens": 1, "output_tokens": 1, "cache_read_input_tokens": "9"},
    {"input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": []},
    {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_1h_input_tokens": "x"}},
    {"input_tokens": 1, "output_tokens": 1, "cache_creation": {"ephemeral_5m_input_tokens": -4}},
    {"inputTokens": 1, "outputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": "x"}]},
]


@pytest.mark.parametrize("usage", [*HALF, *BROKEN])
def test_a_usage_that_is_half_or_broken_has_no_cost(usage: object) -> None:
    assert Tokens.of(usage) is None
    assert cost_of(SONNET_4_5, "us", usage) is None


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 1, "output_tokens": 2, "cache_creation": "none"}, Tokens(1, 2)),
        ({"inputTokens": 1, "outputTokens": 2, "cacheDetails": 5}, Tokens(1, 2)),
        ({"inputTokens": 1, "outputTokens": 2, "cacheDetails": [None, {"ttl": "5m"}]}, Tokens(1, 2)),
    ],
)
def test_details_of_a_form_nobody_knows_are_left_out(usage: dict[str, object], tokens: Tokens) -> None:
    assert Tokens.of(usage) == tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_usage_at_all_raises(usage: object) -> None:
    found = cost_of(SONNET_4_5, "global", usage)
    assert found is None or found.usd >= 0


# --- a cost as a number ---


def test_a_cost_is_formatted_as_a_number_and_without_a_format_told_in_full() -> None:
    one = bill(SONNET_4_5, "global", Tokens(12, 5))
    assert f"{one:.4f}" == "0.0001"
    assert f"${one:>12,.6f}" == "$    0.000111"
    assert f"{one}" == str(one)
    assert "%.3f" % one == "0.000"  # noqa: UP031 - programs do
    with pytest.raises(ValueError, match="format"):
        f"{one:dollars}"


def test_costs_are_compared_with_costs_and_numbers() -> None:
    small, large = bill(SONNET_4_5, "global", Tokens(12, 5)), bill(SONNET_4_5, "us", Tokens(12, 5))
    assert small < large <= Decimal("0.0001221") < 1
    assert large > small >= Decimal("0.000111") > 0
    assert small < 0.01
    assert 1 > small  # noqa: SIM300 - the number's side is to be tested too
    assert large >= 0.0001
    assert small == Decimal("0.000111")
    assert small != Decimal("0.000112")
    assert Cost((), "") == 0 == Cost((), "")
    assert max([small, large]) is large
    assert sorted([large, small]) == [small, large]
    assert hash(small) == hash(Decimal("0.000111"))
    assert small != "0.000111"
    for other in ("1", None, 1j):
        with pytest.raises(TypeError):
            small < other  # noqa: B015


def test_costs_are_added_up_from_any_zero() -> None:
    one, other = bill(SONNET_4_5, "global", Tokens(12, 5)), bill(HAIKU_4_5, "global", Tokens(1, 1))
    assert str(sum([one, other])) == str(one + other)
    for nothing in (0, 0.0, Decimal(0)):
        total = nothing + one + other
        assert isinstance(total, Cost)
        assert total == one + other


def test_beside_other_numbers_a_cost_is_a_number_of_dollars() -> None:
    one = bill(SONNET_4_5, "global", Tokens(12, 5))
    usd = Decimal("0.000111")
    assert one + 1 == 1 + one == 1 + usd
    assert 1 - one == 1 - usd
    assert one - one == 0
    assert one / one == 1
    assert one / 3 == usd / 3
    assert one * Decimal("0.5") == Decimal("0.5") * one == usd / 2
    for mixed in (one * 1.19, 1.19 * one, one + 2.5, 2.5 - one, one / 0.5):
        assert isinstance(mixed, float)
    assert one * 1.19 == pytest.approx(0.000111 * 1.19)
    for other in ("1", None):
        with pytest.raises(TypeError):
            one + other
    with pytest.raises(TypeError):
        one * one


def test_so_many_calls_at_a_cost_keep_the_arithmetic() -> None:
    one = bill(SONNET_4_5, "global", Tokens(12, 5))
    assert str(one * 1000) == str(1000 * one) == str(sum([one] * 1000))
    assert not one * 0
    assert one * -1 == -one.usd


def test_a_cost_is_rounded_as_a_decimal_and_is_true_unless_nothing_was_to_pay() -> None:
    one = bill(SONNET_4_5, "global", Tokens(12, 5))
    assert round(one, 5) == Decimal("0.00011")
    assert round(one) == 0
    assert one
    assert not Cost((), "")
    with pytest.raises(TypeError):
        int(one)  # type: ignore[call-overload]  # as it should be


# --- the text ---


def test_the_arithmetic_is_told_in_full() -> None:
    plain = bill(SONNET_4_5, "global", Tokens(12, 5))
    regional = bill(SONNET_4_5, "eu", Tokens(1200, 5, 0, 40, 1000))
    assert str(plain) == (
        "$0.000111 = 12 input × $3/M + 5 output × $15/M "  # noqa: RUF001
        "(Claude Sonnet 4.5, global; prices of 2026-11-22)"
    )
    assert str(regional) == (
        "$0.0046365 = 1,200 input × $3.30/M + 5 output × $16.50/M + 40 cache write (1 hour) × $6.60/M "  # noqa: RUF001
        "+ 1,000 cache read × $0.33/M (Claude Sonnet 4.5, eu, 10 % above global; prices of 2026-11-22)"  # noqa: RUF001
    )
    assert repr(plain) == "Cost($0.000111)"
    assert str(Cost((), "2026-11-22")) == "$0"
    assert str(bill(HAIKU_3, "", Tokens(0, 0))).endswith("(Claude 3 Haiku, regional; prices of 2026-11-22)")


TERM = re.compile(r"([\d,]+) [a-z() \d]+? × \$([\d.]+)/M")  # noqa: RUF001


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(WITH_PREMIUM), COUNTS), min_size=1, max_size=4))
def test_whoever_adds_up_the_text_gets_the_sum(calls: list[tuple[str, Tokens]]) -> None:
    total = sum((bill(base, "us", tokens) for base, tokens in calls), start=Cost((), ""))
    said, _, arithmetic = str(total).partition(" = ")
    terms = TERM.findall(arithmetic)
    added = sum(Decimal(count.replace(",", "")) * Decimal(price) for count, price in terms) / 1_000_000
    assert Decimal(said.removeprefix("$")) == added == total.usd
    assert len(terms) == len(total.lines)
    assert total.usd == sum(line.amount for line in total.lines)


def test_lines_of_the_same_kind_and_price_are_added_up() -> None:
    one, other = bill(SONNET_4_5, "global", Tokens(12, 5)), bill(HAIKU_4_5, "global", Tokens(1, 1))
    assert str(one + one) == str(bill(SONNET_4_5, "global", Tokens(24, 10)))
    assert sum([one, one]) == one + one
    assert one + other == other + one
    assert hash(one + other) == hash(other + one)
    assert one != other


def test_a_cost_is_a_value() -> None:
    one = bill(SONNET_4_5, "eu", Tokens(12, 5))
    for same in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one)):
        assert (same, same.lines, same.as_of) == (one, one.lines, one.as_of)
    with pytest.raises(AttributeError, match="can't be changed"):
        one.usd = Decimal(0)


def test_the_programs_own_settings_of_decimals_change_nothing() -> None:
    tokens = Tokens(123_456_789, 987_654_321, 1, 1, 1)
    expected = bill(SONNET_4_5, "eu", tokens)
    with decimal.localcontext() as context:
        context.prec = 2
        assert bill(SONNET_4_5, "eu", tokens) == expected
        assert str(bill(SONNET_4_5, "eu", tokens) + expected) == str(expected + expected)


def test_the_table_is_read_when_there_is_something_to_price() -> None:
    code = "import sys, outcrop.catalog.prices; sys.exit('tomllib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
