"""Bedrock's arithmetic of tokens and quotas. Knows numbers only.

The rules (A, AWS's guide, "How tokens are counted"): a call reserves its input, what it writes to the cache
and `max_tokens`; when it ends it is charged input, cache writes and output times the model's burndown rate,
and the rest comes back. What the cache gives is free. AWS's example, Claude 3.7 or later: 3,000 in, 4,000
read from the cache, 1,000 written to it, 1,000 out, at most 32,000: 36,000 are reserved, 9,000 charged.
"""

from __future__ import annotations

from outcrop.catalog.prices import Tokens


def reserve(input_tokens: int, cache_write: int, max_tokens: int) -> int:
    """The tokens a call takes from its quotas at the start. No burndown: every output token counts once."""
    return input_tokens + cache_write + max_tokens


def charge(tokens: Tokens, burndown: int) -> int:
    """The tokens a call has cost its quotas in the end."""
    return tokens.input + tokens.cache_write_5m + tokens.cache_write_1h + tokens.output * burndown
