"""Text or a tool, and which one."""

import pytest

from outcrop.engine.local.tools import Choice, choose, offered
from outcrop.errors import ValidationException

SPEC = [
    ("get_weather", "Get the current weather in a given location"),
    ("send_email", "Send an email to someone"),
    ("searchFlights", "Find flights between two airports on a date"),
    ("calculator", "Evaluate an arithmetic expression"),
]
TOOLS = [{"name": name, "description": about, "input_schema": {"type": "object"}} for name, about in SPEC]


def chosen(content, tools=TOOLS, **choice):
    body = {"messages": [{"role": "user", "content": content}], "tools": tools}
    if choice:
        body["tool_choice"] = choice
    return [tool.name for tool in choose(body, offered(body)).tools]


@pytest.mark.parametrize(
    ("said", "tool"),
    [
        ("What's the weather like in Paris?", "get_weather"),
        ("WEATHER in Rome, please", "get_weather"),
        ("Please send Bob an email saying hello", "send_email"),
        ("Search for flights from Oslo to Rome", "searchFlights"),
        ("Use the calculator: 3*4", "calculator"),
    ],
)
def test_what_clearly_speaks_of_a_tool_calls_it(said, tool):
    assert chosen(said) == [tool]
    assert chosen([{"type": "text", "text": said}]) == [tool]


@pytest.mark.parametrize(
    "said",
    [
        "Hello, world",
        "Who wrote the history of email?",
        "Get me something to read",
        "Send flowers",
        "",
        "Wie geht es dir?",
        "Send an email about the weather",  # two tools: which comes first is for the user to say
    ],
)
def test_what_does_not_gets_text(said):
    assert chosen(said) == []


def test_results_of_tools_are_answered_in_text():
    result = {"type": "tool_result", "tool_use_id": "t", "content": "weather: rain"}
    assert chosen([result, {"type": "text", "text": "What is the weather?"}]) == []


def test_a_named_tool_is_taken_whatever_was_said():
    assert chosen("Hello", type="tool", name="calculator") == ["calculator"]


def test_any_takes_the_only_tool_the_clear_one_or_leaves_the_model_to_pick():
    assert chosen("Hello", TOOLS[:1], type="any") == ["get_weather"]
    assert chosen("Weather in Rome?", type="any") == ["get_weather"]
    assert chosen("Hello", type="any") == [name for name, _ in SPEC]


def test_none_and_no_tools_get_text():
    assert chosen("Weather in Rome?", type="none") == []
    assert choose({"messages": [{"role": "user", "content": "Weather?"}]}, ()) == Choice()


def test_a_prefilled_answer_is_text():
    body = {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "It"}]}
    assert choose(body, offered({"tools": TOOLS})) == Choice()


def test_a_tool_that_is_not_there_is_refused():
    with pytest.raises(ValidationException, match="Tool 'x' not found in provided tools"):
        chosen("Hello", type="tool", name="x")


def test_a_tool_without_a_schema_is_refused():
    with pytest.raises(ValidationException, match=r"tools\.1: .*'bash_20250124'"):
        offered({"tools": [TOOLS[0], {"type": "bash_20250124", "name": "bash"}]})
