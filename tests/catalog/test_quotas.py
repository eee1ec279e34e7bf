"""The quotas in the catalogue: every figure has a name that is read, and what there is to ask of them."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from outcrop.catalog import Catalog, facts, quotas

CATALOG = Catalog.load()
NAMES = {"output_burndown"} | {
    f"{kind}_{quota}" for kind in ("on_demand", "cross_region", "global") for quota in ("rpm", "tpm")
}
NAMES |= {"cross_region_tpm_1m", "global_tpm_1m"}


@pytest.mark.parametrize("row", facts()["models"], ids=lambda row: row["id"])
def test_every_figure_is_read_and_names_regions_there_are(row):
    assert row["quota"].keys() <= NAMES
    assert row["quota"]["output_burndown"] in (1, 5)
    for told in row["quota"].values():
        if isinstance(told, dict):
            assert told.keys() - {"elsewhere"} <= CATALOG.regions.keys()
            assert "elsewhere" in told
        for figure in told.values() if isinstance(told, dict) else [told]:
            assert type(figure) is int
            assert figure > 0


def test_every_quota_tells_its_source():
    text = files("outcrop.catalog").joinpath("claude.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("quota")]
    assert len(lines) >= len(CATALOG.models)
    assert all(re.search(r"# .*\b[ABCD] ", f"{line} ") for line in lines)


def test_only_models_with_a_longer_window_have_quotas_for_it():
    for model in CATALOG.models:
        if quotas.has_long(model.id, "cross-region"):
            assert 1_000_000 in (model.context_window_beta, model.context_window)
            assert any(beta.startswith("context-1m-") for beta in model.betas)


def test_kinds_are_those_a_model_is_offered_in():
    sonnet = CATALOG.model("anthropic.claude-sonnet-4-5-20250929-v1:0")
    assert quotas.offered(CATALOG, sonnet, "us-west-2") == (
        "cross-region", "global", "cross-region-1m", "global-1m",
    )  # fmt: skip
    haiku = CATALOG.model("anthropic.claude-3-haiku-20240307-v1:0")
    assert quotas.offered(CATALOG, haiku, "us-west-2") == ("in-region", "cross-region")
    assert quotas.offered(CATALOG, haiku, "af-south-1") == ()
    for model in CATALOG.models:
        for region in CATALOG.regions:
            assert set(quotas.offered(CATALOG, model, region)) <= set(quotas.KINDS)


def test_the_long_contexts_quota_is_for_long_prompts_with_its_beta():
    sonnet = CATALOG.model("anthropic.claude-sonnet-4-5-20250929-v1:0")
    newer = CATALOG.model("anthropic.claude-sonnet-4-6")
    beta = (sonnet.context_beta_header,)
    assert quotas.kind_of(newer, "cross-region", beta, 200_001) == "cross-region-1m"
    assert quotas.kind_of(sonnet, "global", beta, 200_001) == "global-1m"
    assert quotas.kind_of(sonnet, "global", beta, 200_000) == "global"
    assert quotas.kind_of(sonnet, "global", (), 200_001) == "global"
    assert quotas.kind_of(sonnet, "global", ("another",), 200_001) == "global"
    assert quotas.kind_of(sonnet, "in-region", beta, 200_001) == "in-region"
