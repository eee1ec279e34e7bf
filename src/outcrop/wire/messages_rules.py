"""The second stage of validation: what a Messages request asks for, and whether this model does that.

InvokeModel and Converse share it (Converse's refusals get a prefix there). Holds the parameters, tools,
thinking and beta flags; for messages it goes to `messages_turns`. Knows no keys that only InvokeModel has, no
bytes and no engine.

Bedrock hands on the Claude API's own words here. Order of the fields: measured on the live API, 2026-08.
A = recorded or documented, C = quoted by users (Bedrock's where it says so) or measured on the live API,
D = wording after its siblings.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from outcrop.errors import ValidationException
from outcrop.wire.messages_blocks import (
    MisfitError,
    ModelFacts,
    check_cache_mark,
    check_tool_name,
    must_be,
    need,
    tag_of,
    wrong_tag,
)
from outcrop.wire.messages_turns import (
    check_cache_marks,
    check_messages,
    check_order,
    check_system,
    check_tool_results,
)

Body: TypeAlias = dict[str, Any]


class Asked(NamedTuple):
    """The request in hand, for checks that look beyond their own field."""

    body: Body
    model: ModelFacts
    betas: Collection[str]


_Check: TypeAlias = Callable[[Any, Asked], None]

_DOCS: Final = (
    "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
)
_LEAST_BUDGET: Final = 1024


def check_meaning(body: Body, model: ModelFacts, betas: Sequence[str] = ()) -> None:
    """The second stage, for a Messages request without `anthropic_version` and `anthropic_beta`.

    Raises ValidationException with the first thing that is wrong, in the Claude API's words.
    """
    _check_betas(betas, model)
    try:
        _check_fields(Asked(body, model, betas))
    except MisfitError as misfit:
        raise ValidationException(str(misfit)) from None
    messages = body["messages"]
    check_order(messages, model)
    check_tool_results(messages)
    check_cache_marks(body)


def _check_fields(asked: Asked) -> None:
    body = asked.body
    for name, check in _FIELDS.items():
        if name in body:
            try:
                check(body[name], asked)
            except MisfitError as misfit:
                raise misfit.within(name) from None
        elif name in _REQUIRED:
            raise MisfitError(name, "Field required")
    for name in body:
        if name not in _FIELDS:
            raise MisfitError(name, "Extra inputs are not permitted")  # C, Bedrock


# --- beta flags --------------------------------------------------------------------------------------------

# Flags that InvokeModel has been seen to take whatever the model, some of them long without effect (C).
# AWS's table spells the first with a capital I (A), clients do not. The others are the catalogue's.
_TAKEN_BY_ALL: Final = frozenset(
    {
        "Interleaved-thinking-2025-05-14",
        "interleaved-thinking-2025-05-14",
        "token-efficient-tools-2025-02-19",
        "output-128k-2025-02-19",
        "fine-grained-tool-streaming-2025-05-14",
        "structured-outputs-2025-11-13",
        "claude-code-20250219",
        "pdfs-2024-09-25",
        "token-counting-2024-11-01",
        "mcp-client-2025-11-20",
        "web-search-2025-03-05",
    }
)
# A flag without effect for a model whose window is that wide anyway (C).
_WIDE_CONTEXT: Final = "context-1m-2025-08-07"
_WIDE_BY_NATURE: Final = 1_000_000


def _check_betas(betas: Sequence[str], model: ModelFacts) -> None:
    for beta in betas:
        if beta in model.betas or beta in _TAKEN_BY_ALL:
            continue
        if beta != _WIDE_CONTEXT or model.context_window < _WIDE_BY_NATURE:
            raise ValidationException("invalid beta flag")  # C many, Bedrock


# --- numbers and texts -------------------------------------------------------------------------------------

# What Claude 3.7 Sonnet alone, the one model with this flag of its own, gives to those who ask with it (A).
_LONG_OUTPUT: Final = "output-128k-2025-02-19"
_LONG_OUTPUT_TOKENS: Final = 131_072


def _max_tokens(value: Any, asked: Asked) -> None:
    must_be(value, int)
    if value < 1:
        raise MisfitError("", "must be greater than or equal to 1")  # C; the Claude API itself takes 0
    model = asked.model
    long = _LONG_OUTPUT in asked.betas and _LONG_OUTPUT in model.betas
    most = _LONG_OUTPUT_TOKENS if long else model.max_output_tokens
    if value > most:
        raise MisfitError(  # C many
            "",
            f"{value} > {most}, which is the maximum allowed number of output tokens "
            f"for {model.anthropic_name}",
        )


def _metadata(value: Any, _: Asked) -> None:
    if value is None:
        return  # as good as absent (C, measured)
    must_be(value, dict)
    user = value.get("user_id")
    if user is not None:
        need(value, "user_id", str)
        if len(user) > 256:
            raise MisfitError("user_id", "String should have at most 256 characters")  # C


def _stop_sequences(value: Any, _: Asked) -> None:
    if value is None:
        return  # as good as absent (C, measured)
    must_be(value, list)
    for index, sequence in enumerate(value):
        if type(sequence) is not str:
            raise MisfitError(str(index), "Input should be a valid string")  # C, measured
        if not sequence or sequence.isspace():
            raise MisfitError("", "each stop sequence must contain non-whitespace")  # C many


def _temperature(value: Any, asked: Asked) -> None:
    _check_sampling("temperature", value, 0, 1, asked.model)
    if "top_p" in asked.body and "temperature_xor_top_p" in asked.model.features:
        raise ValidationException(  # C, Bedrock
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
        )


def _top_p(value: Any, asked: Asked) -> None:
    _check_sampling("top_p", value, 0, 1, asked.model)


def _top_k(value: Any, asked: Asked) -> None:
    must_be(value, int)
    _check_sampling("top_k", value, 0, 500, asked.model)


def _check_sampling(name: str, value: Any, low: int, high: int, model: ModelFacts) -> None:
    if type(value) is not int and type(value) is not float:
        raise MisfitError("", "Input should be a valid number")  # C, measured
    if "sampling_params" not in model.features:
        raise ValidationException(f"`{name}` is deprecated for this model.")  # C many, Bedrock
    if not low <= value <= high:
        raise MisfitError("", f"range: {low}..{high}")  # C, measured; for top_k D


# --- tools -------------------------------------------------------------------------------------------------

# Kinds of tools, and the beta flag that brings each. Those without one: A, recorded (CountTokens, Sonnet 4).
_TOOL_TYPES: Final = {
    "bash_20250124": "",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
    "custom": "",
    "memory_20250818": "context-management-2025-06-27",
    "text_editor_20250124": "",
    "text_editor_20250429": "",
    "text_editor_20250728": "",
    "tool_search_tool_bm25_20251119": "tool-search-tool-2025-10-19",
    "tool_search_tool_regex_20251119": "tool-search-tool-2025-10-19",
}
_CHOICES: Final = ("auto", "any", "tool", "none")


def _tools(value: Any, asked: Asked) -> None:
    must_be(value, list)
    names: set[str] = set()
    for index, tool in enumerate(value):
        try:
            name = _check_tool(tool, asked.model, asked.betas)
        except MisfitError as misfit:
            raise misfit.within(str(index)) from None
        if name in names:
            raise MisfitError("", "Tool names must be unique.")  # C many
        names.add(name)


def _check_tool(tool: Any, model: ModelFacts, betas: Collection[str]) -> str:
    """The tool's name. Raises MisfitError."""
    must_be(tool, dict)
    kind = tool.get("type", "custom")
    if kind is None:
        kind = "custom"
    brought_by = _TOOL_TYPES.get(kind) if type(kind) is str else None
    if brought_by is None or (brought_by and brought_by not in betas):
        raise wrong_tag(kind, [tag for tag, beta in _TOOL_TYPES.items() if not beta or beta in betas])
    try:
        name: str = need(tool, "name", str)
        check_tool_name(name)
        if kind == "custom":
            _check_input_schema(tool)
        if "cache_control" in tool:
            check_cache_mark(tool, model)
    except MisfitError as misfit:
        raise misfit.within(kind) from None
    return name


def _check_input_schema(tool: dict[str, Any]) -> None:
    schema = need(tool, "input_schema", dict)  # C many
    if schema.get("type") != "object":
        text = "Input should be 'object'" if "type" in schema else "Field required"  # C many
        raise MisfitError("input_schema.type", text)


def _tool_choice(value: Any, asked: Asked) -> None:
    must_be(value, dict)
    kind = tag_of(value, _CHOICES)  # C, measured, in this order
    tools = asked.body.get("tools")
    if not tools:
        raise ValidationException(
            "tool_choice may only be specified while providing tools."
        )  # C many, Bedrock
    if kind == "tool":
        try:
            name = need(value, "name", str)
        except MisfitError as misfit:
            raise misfit.within(kind) from None
        known = type(tools) is list and any(type(tool) is dict and tool.get("name") == name for tool in tools)
        if not known:
            raise ValidationException(f"Tool '{name}' not found in provided tools")  # C many
    if kind in ("tool", "any"):
        _check_forced(asked)


def _check_forced(asked: Asked) -> None:
    if "thinking_always_on" in asked.model.features:
        raise MisfitError("", 'type "tool" and "any" are not supported for this model.')  # D
    thinking = asked.body.get("thinking")
    if type(thinking) is dict and thinking.get("type") in ("enabled", "adaptive"):
        raise ValidationException("Thinking may not be enabled when tool_choice forces tool use.")  # C many


# --- thinking and output -----------------------------------------------------------------------------------

_THINKING: Final = ("adaptive", "disabled", "enabled")


def _thinking(value: Any, asked: Asked) -> None:
    model = asked.model
    must_be(value, dict)
    kind = tag_of(value, _THINKING)
    if kind == "disabled":
        if "thinking_always_on" in model.features:
            raise ValidationException('"thinking.type.disabled" is not supported for this model.')  # D
        return
    if "thinking" not in model.features:
        raise ValidationException(f"'{model.anthropic_name}' does not support thinking.")  # C
    if kind == "adaptive":
        if "adaptive_thinking" not in model.features:
            raise ValidationException("adaptive thinking is not supported on this model")  # C many
    else:
        _check_budget(value, asked)
    _check_sampling_while_thinking(asked.body, kind, model)


def _check_budget(thinking: Body, asked: Asked) -> None:
    if "thinking_budget" not in asked.model.features:
        raise ValidationException(  # C many, Bedrock
            '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive" '
            'and "output_config.effort" to control thinking behavior.'
        )
    try:
        budget = need(thinking, "budget_tokens", int)
        if budget < _LEAST_BUDGET:
            raise MisfitError(
                "budget_tokens", f"Input should be greater than or equal to {_LEAST_BUDGET}"
            )  # C, Bedrock
    except MisfitError as misfit:
        raise misfit.within("enabled") from None
    # With interleaved thinking the budget spans a whole turn of tool calls and may exceed one answer (A).
    interleaved = bool(asked.body.get("tools")) and any(map(_is_interleaved, asked.betas))
    most = asked.body.get("max_tokens")
    if type(most) is int and budget >= most and not interleaved:
        raise ValidationException(  # C, Bedrock
            "`max_tokens` must be greater than `thinking.budget_tokens`. "
            f"{_DOCS}#max-tokens-and-context-window-size"
        )


def _is_interleaved(beta: str) -> bool:
    return beta.lower().startswith("interleaved-thinking-")


def _check_sampling_while_thinking(body: Body, kind: str, model: ModelFacts) -> None:
    """Thinking wants the default temperature, no top_k and a top_p near one. C many, Bedrock's among them."""
    if "sampling_params" not in model.features:
        return  # then none of them may be given at all, and its own check says so
    when = "when thinking is enabled" if kind == "enabled" else "when thinking is enabled or in adaptive mode"
    hint = f"{when}. {_DOCS}#important-considerations-when-using-extended-thinking"
    if _number(body.get("temperature"), 1) != 1:
        raise ValidationException(f"`temperature` may only be set to 1 {hint}")
    if "top_k" in body:
        raise ValidationException(f"`top_k` must be unset {hint}")
    if _number(body.get("top_p"), 1) < 0.95:
        raise ValidationException(f"`top_p` must be greater than or equal to 0.95 or unset {hint}")


def _number(value: Any, default: float) -> float:
    """`value` where it is a number; what is none has its own refusal later."""
    return value if type(value) is int or type(value) is float else default


_EFFORTS: Final = ("low", "medium", "high", "xhigh", "max")


def _output_config(value: Any, asked: Asked) -> None:
    must_be(value, dict)
    if value.get("effort", "low") not in _EFFORTS:
        raise MisfitError(
            "effort", "Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
        )  # C, measured
    if value.get("format") is None:
        return
    if "structured_output" not in asked.model.features:
        raise MisfitError("format", "Extra inputs are not permitted")  # C, Bedrock, of another member
    form = need(value, "format", dict)
    try:
        tag_of(form, ("json_schema",))
        need(form, "schema", dict)
    except MisfitError as misfit:
        raise misfit.within("format") from None


# --- the fields, in the order in which the API reports what is wrong with them -----------------------------


def _messages(value: Any, asked: Asked) -> None:
    check_messages(value, asked.model)


def _system(value: Any, asked: Asked) -> None:
    check_system(value, asked.model)


def _object(value: Any, _: Asked) -> None:
    must_be(value, dict)


_REQUIRED: Final = frozenset({"messages", "max_tokens"})
_FIELDS: Final[dict[str, _Check]] = {
    "tool_choice": _tool_choice,
    "tools": _tools,
    "messages": _messages,
    "system": _system,
    "thinking": _thinking,
    "output_config": _output_config,
    "output_format": _object,
    "max_tokens": _max_tokens,
    "metadata": _metadata,
    "stop_sequences": _stop_sequences,
    "temperature": _temperature,
    "top_k": _top_k,
    "top_p": _top_p,
    "context_management": _object,
}
