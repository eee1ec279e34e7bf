"""The settings: where they come from, which wins, and what a person is told when one is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop import config
from outcrop.config.lines import line_of
from outcrop.errors import ConfigError


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def written(text: str, name: str = "outcrop.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(text: str, **env: str) -> ConfigError:
    written(text)
    with pytest.raises(ConfigError) as caught:
        config.load(env=env)
    return caught.value


def test_nothing_needs_to_be_configured():
    loaded = config.load(env={})
    assert loaded.file is None
    assert loaded.settings.server.host == "127.0.0.1"
    assert loaded.settings.server.port == 8080
    assert loaded.settings.engine.kind == "local"
    assert loaded.settings.data.folder.name == "outcrop"
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}


def test_flags_beat_the_environment_which_beats_the_file_which_beats_the_default():
    written("[server]\nport = 1\nhost = 'localhost'\ntls_port = 2\n")
    env = {"OUTCROP_SERVER__PORT": "3", "OUTCROP_SERVER__TLS_PORT": "4"}
    loaded = config.load(env=env, flags={"server.tls_port": ("--tls-port", 5)})
    server = loaded.settings.server
    assert (server.host, server.port, server.tls_port, server.drain) == ("localhost", 3, 5, 30)
    assert loaded.origins["server", "host"].place == "outcrop.toml, line 3"
    assert loaded.origins["server", "port"].place == "OUTCROP_SERVER__PORT"
    assert loaded.origins["server", "tls_port"].place == "--tls-port"


def test_a_named_file_is_taken_before_the_one_that_lies_here():
    written("[server]\nport = 1\n")
    other = written("[server]\nport = 2\n", "other.toml")
    third = written("[server]\nport = 3\n", "third.toml")
    assert config.load(env={}).settings.server.port == 1
    assert config.load(env={"OUTCROP_CONFIG": str(other)}).settings.server.port == 2
    assert config.load(third, env={"OUTCROP_CONFIG": str(other)}).settings.server.port == 3


def test_the_file_in_the_users_configuration_folder_is_the_last_resort(tmp_path: Path):
    folder = tmp_path / "xdg_config_home" / "outcrop"
    folder.mkdir(parents=True)
    (folder / "outcrop.toml").write_text("[server]\nport = 7\n")
    assert config.load(env={}).settings.server.port == 7


def test_a_named_file_that_is_missing_is_an_error():
    with pytest.raises(ConfigError, match=r"no configuration file absent\.toml"):
        config.load(Path("absent.toml"), env={})


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("[server]\n\nprot = 1\n", 3, "[server] has no setting 'prot'", "Did you mean 'port'?"),
        ("[sever]\nport = 1\n", 1, "has no section 'sever'", "Did you mean 'server'?"),
        (
            "[server]\nregion = 'us-east-1'\n",
            2,
            "[server] has no setting 'region'",
            "It belongs into [bedrock].",
        ),
        (
            "[server]\n# port = 1\nport = 'http'\n",
            3,
            "server.port must be a port from 1 to 65535",
            "default (8080)",
        ),
        ("[server]\nport = 70000\n", 2, "not 70000", "default (8080)"),
        ("[server]\nport = true\n", 2, "not true", "default (8080)"),
        ("[server]\ndrain = -1\n", 2, "seconds, above 0", "default (30)"),
        ("[server]\ndrain = nan\n", 2, "seconds, above 0", "default (30)"),
        ("[server]\ntls = 'yes'\n", 2, "true or false", "default (false)"),
        ("[bedrock]\nedition = 'guides'\n", 2, '"guide" or "2026-11"', 'default ("guide")'),
        ("[bedrock]\nregion = 'Frankfurt'\n", 2, "a region's name", 'default ("us-west-2")'),
        ("engine = 'local'\n", 1, "engine is a section", "Write [engine] on a line of its own"),
        ("[engine.messages.models]\na.b = 'c'\n", 1, "a table of names", "Names with dots must be in quotes"),
        ("[engine.messages]\nlacks = ['sight']\n", 2, "a list of images", "default ([])"),
        (
            "[engine.messages]\nbase_url = 'localhost:1'\n",
            2,
            "an http:// or https:// address",
            "api.anthropic.com",
        ),
        ("server.port = 0\n", 1, "server.port must be", ""),
        ("x = '''\n[server]\nport = 1\n'''\n[server]\nport = 0\n", 1, "has no section 'x'", ""),
    ],
)
def test_a_mistake_is_told_with_its_line_and_its_mending(text: str, line: int, what: str, fix: str):
    error = refusal(text)
    assert error.what.startswith(f"outcrop.toml, line {line}: ")
    assert what in error.what
    assert fix in error.fix


def test_what_is_not_toml_is_told_with_its_line():
    error = refusal("[server]\nport 1\n")
    assert "outcrop.toml is not TOML" in error.what
    assert "line 2" in error.what


def test_all_mistakes_are_found_at_once():
    written("[server]\nport = 0\ntls = 1\n[engine]\nkind = 'cloud'\n")
    loaded, problems = config.check(env={"OUTCROP_SERVER__DRAIN": "long"})
    assert [problem.what.partition(" must")[0] for problem in problems] == [
        "outcrop.toml, line 2: server.port",
        "outcrop.toml, line 3: server.tls",
        "outcrop.toml, line 5: engine.kind",
        "OUTCROP_SERVER__DRAIN: server.drain",
    ]
    assert loaded.settings.server.port == 8080
    assert "3 more" in refusal(Path("outcrop.toml").read_text(), OUTCROP_SERVER__DRAIN="long").fix


def test_the_environment_speaks_text_and_is_understood():
    loaded = config.load(
        env={
            "OUTCROP_SERVER__TLS": "true",
            "OUTCROP_SERVER__TLS_NAMES": "build.example, 10.0.0.1",
            "OUTCROP_ENGINE__KIND": "messages",
            "OUTCROP_ENGINE__MESSAGES__MODELS": '{"anthropic.claude-x" = "y"}',
            "OUTCROP_DATA_DIR": "state",
            "OUTCROP_LOG": "debug",
        }
    )
    assert loaded.settings.server.tls is True
    assert loaded.settings.server.tls_names == ("build.example", "10.0.0.1")
    assert loaded.settings.engine.messages.models == {"anthropic.claude-x": "y"}
    assert loaded.settings.data.folder == Path("state").absolute()


def test_an_unknown_variable_is_refused_like_an_unknown_key():
    error = refusal("", OUTCROP_SERVER__PROT="1")
    assert error.what == "OUTCROP_SERVER__PROT: [server] has no setting 'prot'."
    assert "Did you mean 'port'?" in error.fix


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("OUTCROP_PORT", "OUTCROP_SERVER__PORT"), ("OUTCROP_ENGINE", "OUTCROP_ENGINE__KIND")],
)
def test_a_variable_without_its_section_is_refused_and_not_ignored(name: str, wanted: str):
    error = refusal("", **{name: "1"})
    assert error.what.startswith(f"{name}: ")
    assert error.fix == f"Write {wanted}."


def test_variables_that_are_not_settings_are_left_alone():
    config.load(env={"OUTCROP_PORT": "tcp://10.0.0.1:80", "OUTCROP_LOG": "debug", "OUTCROP_CONFIG": ""})


def test_a_path_in_the_file_is_relative_to_the_file(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    path = written("[engine.local]\nmodel_file = 'm.gguf'\n", "sub/outcrop.toml")
    assert config.load(path, env={}).settings.engine.local.model_file == tmp_path / "sub" / "m.gguf"


def test_a_secret_may_not_stand_in_the_file():
    error = refusal("[engine.messages]\napi_key = 'sk-ant-123'\n")
    assert "line 2: a secret stands in the file itself" in error.what
    assert "sk-ant" not in str(error)


def test_a_secret_is_revealed_from_where_it_is_and_never_printed():
    kind = "[engine]\nkind = 'messages'\n"
    written(
        kind
        + "[engine.messages]\napi_key = 'env:MY_KEY'\nheaders = { x-team = 'env:TEAM', x-plain = 'abc' }\n"
    )
    messages = config.load(env={}).settings.engine.messages
    assert messages.key({"MY_KEY": "s3cret"}) == "s3cret"
    assert messages.sent_headers({"TEAM": "red"}) == {"x-team": "red", "x-plain": "abc"}
    assert "s3cret" not in repr(messages)
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        messages.key({})
    setting = config.catalogue()["engine", "messages", "headers"]
    assert config.shown(setting, messages.headers) == '{"x-team" = "env:TEAM", "x-plain" = "********"}'


def test_a_secret_from_a_file_loses_its_line_end(tmp_path: Path):
    (tmp_path / "key").write_text("s3cret\n")
    assert config.Secret(f"file:{tmp_path}/key").reveal({}) == "s3cret"
    with pytest.raises(ConfigError, match="can't be read"):
        config.Secret("file:/nowhere/at/all").reveal({})


def test_anthropics_key_is_sent_to_anthropic_only():
    env = {"ANTHROPIC_API_KEY": "sk"}
    assert config.Messages().key(env) == "sk"
    assert config.Messages(base_url="https://api.anthropic.com/v1/").key(env) == "sk"
    assert config.Messages(base_url="http://127.0.0.1:11434").key(env) == ""
    with pytest.raises(ConfigError, match="ANTHROPIC_API_KEY is not set"):
        config.Messages().key({})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "example.org"])
def test_an_address_others_can_reach_needs_tls_or_an_explicit_word(host: str):
    error = refusal(f"[server]\nhost = '{host}'\n")
    assert "can be reached from other machines" in error.what
    written(f"[server]\nhost = '{host}'\ninsecure_bind = true\n")
    assert config.load(env={}).settings.server.plain_host == host
    written(f"[server]\nhost = '{host}'\ntls = true\n")
    assert config.load(env={}).settings.server.plain_host == "127.0.0.1"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_needs_neither(host: str):
    written(f"[server]\nhost = '{host}'\n")
    assert config.load(env={}).settings.server.plain_host == host


def test_settings_that_contradict_each_other_are_refused():
    assert "are both 8443" in refusal("[server]\ntls = true\nport = 8443\n").what
    assert "one is missing" in refusal("[server]\ntls_key = 'k.pem'\n").what


def test_every_setting_says_what_it_wants_and_what_it_is_for():
    for setting in config.catalogue().values():
        assert setting.wanted
        assert setting.purpose.endswith(".")
        assert setting.variable.startswith("OUTCROP_")


@pytest.mark.parametrize(
    ("text", "where", "line"),
    [
        ("a = 1\n[b]\na = 2\n", ("b", "a"), 3),
        ("[a.b]\nc = 1\n[a]\nc = 2\n", ("a", "c"), 4),
        ("[a]\nb.c = 1\n", ("a", "b", "c"), 2),
        ("[a]\nb = { c = 1 }\n", ("a", "b", "c"), 2),
        ("[ a . 'b' ]  # note\n\"c.d\" = 1\n", ("a", "b", "c.d"), 2),
        ('[a]\nx = """\nc = 1\n"""\nc = 2\n', ("a", "c"), 5),
        ("", ("a",), 1),
    ],
)
def test_the_line_of_a_key_is_found(text: str, where: tuple[str, ...], line: int):
    assert line_of(text, where) == line


TWO = """
[engines.eu]
kind = "messages"
regions = ["eu-central-1", "eu-west-1"]
models = ["claude-sonnet-4-5", "anthropic.claude-3-haiku-20240307-v1:0"]
concurrent = 8
requests_per_minute = 50

[engines.eu.messages]
base_url = "http://127.0.0.1:8000"
api_key = "env:EU_KEY"

[engines.rest]
kind = "scripted"
"""


def test_engines_have_names_regions_and_the_same_settings_as_the_single_one():
    written(TWO)
    loaded = config.load(env={"OUTCROP_ENGINES__REST__TOKENS_PER_MINUTE": "9000"})
    engines = loaded.settings.engines
    assert list(engines) == ["eu", "rest"]
    eu, rest = engines.values()
    assert (eu.kind, eu.regions, eu.concurrent, eu.requests_per_minute) == (
        "messages",
        ("eu-central-1", "eu-west-1"),
        8,
        50,
    )
    assert eu.messages.base_url == "http://127.0.0.1:8000"
    assert eu.messages.key({"EU_KEY": "k"}) == "k"
    assert (rest.kind, rest.regions, rest.models, rest.tokens_per_minute) == ("scripted", (), (), 9000)
    assert loaded.settings.placed == engines
    assert loaded.origins["engines", "eu", "regions"].place == "outcrop.toml, line 4"
    assert loaded.origins["engines", "rest", "tokens_per_minute"].kind == "environment"
    assert loaded.origins["engines", "rest", "regions"].kind == "default"


def test_the_single_engine_is_a_placed_one_by_its_kind():
    written("[engine]\nkind = 'messages'\n[engine.messages]\nbase_url = 'http://127.0.0.1:1'\n")
    (name, placed), *others = config.load(env={}).settings.placed.items()
    assert (name, placed.kind, placed.messages.base_url) == ("messages", "messages", "http://127.0.0.1:1")
    assert others == []


def test_the_environment_alone_can_name_engines():
    settings = config.load(
        env={
            "OUTCROP_ENGINES__A_1__KIND": "scripted",
            "OUTCROP_ENGINES__A_1__REGIONS": "us-east-1, us-west-2",
            "OUTCROP_ENGINES__B__KIND": "messages",
            "OUTCROP_ENGINES__B__MESSAGES__BASE_URL": "http://127.0.0.1:1",
        }
    ).settings
    assert list(settings.engines) == ["a_1", "b"]
    assert settings.engines["a_1"].regions == ("us-east-1", "us-west-2")
    assert settings.engines["b"].messages.base_url == "http://127.0.0.1:1"


@pytest.mark.parametrize(
    ("text", "line", "what", "fix"),
    [
        ("[engines.eu]\nregons = []\n", 2, "[engines.eu] has no setting 'regons'", "Did you mean 'regions'?"),
        ("[engines.eu]\nkind = 'cloud'\n", 2, "engines.eu.kind must be", 'default ("local")'),
        ("[engines.eu]\nport = 1\n", 2, "[engines.eu] has no setting 'port'", "It belongs into [server]."),
        ("[engines.eu.mesages]\n", 1, "[engines.eu] has no setting 'mesages'", "Did you mean 'messages'?"),
        ("[engines]\neu = 'local'\n", 2, "engines.eu is a section", "Write [engines.eu] on a line"),
        ("[engines.EU]\n", 1, "'EU' can't name an engine", "lowercase"),
        ("[engines.a__b]\n", 1, "'a__b' can't name an engine", "single"),
        ("[engins.eu]\n", 1, "has no section 'engins'", "Did you mean 'engines'?"),
        ("[engines.eu]\nconcurrent = -1\n", 2, "a number, or 0 for unknown", "default (0)"),
        ("[engines.eu]\nregions = ['eu-west-11']\n", 2, "engines.eu.regions", "Did you mean eu-west-1"),
        ("[engines.eu]\nregions = ['eu']\n", 2, "no region 'eu'", "'eu' is a geography; regions are wanted"),
        ("[engines.eu]\nregions = ['EU-WEST-1']\n", 2, "no region 'EU-WEST-1'", "Did you mean eu-west-1"),
        ("[bedrock]\nresidency = ['EU']\n", 2, "nor a geography 'EU'", "Did you mean eu"),
        ("[engines]\n", 1, "[engines] names no engine", "Write [engines.<name>]"),
        ("[engines.eu]\nmodels = ['claude-sonet-4-5']\n", 2, "no model", "Did you mean claude-sonnet-4-5"),
        ("[bedrock]\nresidency = ['europe']\n", 2, "bedrock.residency", "Geographies are"),
        ("[engines.eu.messages]\napi_key = 'sk-ant-1'\n", 2, "a secret stands in the file", ""),
    ],
)
def test_a_mistake_in_an_engine_is_told_with_its_line_and_its_mending(
    text: str, line: int, what: str, fix: str
):
    error = refusal(text)
    assert error.what.startswith(f"outcrop.toml, line {line}: ")
    assert what in error.what
    assert fix in error.fix


def test_one_engine_and_several_contradict_each_other():
    error = refusal(f"[engine]\nkind = 'local'\n{TWO}")
    assert error.what.startswith("outcrop.toml, line 2: engine.kind is set, and there are [engines.eu], ")
    assert (
        "Drop what sets [engine] (outcrop.toml, line 2), or drop [engines.eu], [engines.rest]." in error.fix
    )
    written(TWO)
    _, problems = config.check(env={}, flags={"engine.kind": ("--engine", "scripted")})
    assert "--engine: engine.kind is set" in problems[0].what


MESSAGES = "[engine.messages]\nbase_url = 'http://127.0.0.1:1'\n"
SCRIPTED = "[engines.eu]\nkind = 'scripted'\n[engines.eu.local]\nthreads = 1\n"


@pytest.mark.parametrize(
    ("text", "env", "flags", "told"),
    [
        (
            MESSAGES,
            {},
            {},
            'outcrop.toml, line 2: engine.kind is "local" (the default), so [engine.messages]',
        ),
        (
            SCRIPTED,
            {},
            {},
            'outcrop.toml, line 4: engines.eu.kind is "scripted" (by outcrop.toml, line 2), so [engines.eu',
        ),
        (
            "",
            {"OUTCROP_ENGINE__SCRIPTED__ANSWERS": "a"},
            {},
            "OUTCROP_ENGINE__SCRIPTED__ANSWERS: engine.kind",
        ),
        (
            "[engine]\nkind = 'local'\n",
            {},
            {"engine.messages.base_url": ("--base-url", "http://h")},
            "--base-",
        ),
        (
            "",
            {"OUTCROP_ENGINE__KIND": "messages"},
            {"engine.local.model_file": ("--model-file", "m.gguf")},
            '--model-file: engine.kind is "messages" (by OUTCROP_ENGINE__KIND), so [engine.local]',
        ),
    ],
)
def test_settings_of_a_kind_that_was_not_chosen_are_a_mistake(text, env, flags, told):
    written(text)
    _, (problem,) = config.check(env=env, flags=flags)
    assert problem.what.startswith(told)
    assert problem.what.endswith("has no effect.")
    assert 'Set kind = "' in problem.fix


@pytest.mark.parametrize(
    ("text", "env", "flags"),
    [
        (MESSAGES, {"OUTCROP_ENGINE__KIND": "scripted"}, {}),
        (MESSAGES, {}, {"engine.kind": ("--engine", "scripted")}),
        ("", {"OUTCROP_ENGINE__LOCAL__THREADS": "1"}, {"engine.kind": ("--engine", "scripted")}),
        (SCRIPTED, {"OUTCROP_ENGINES__EU__KIND": "messages"}, {}),
        (MESSAGES, {"OUTCROP_ENGINE__KIND": "messages"}, {}),
        ("[engine]\nkind = 'scripted'\n[engine.messages]\n", {}, {}),
    ],
)
def test_whoever_chooses_another_engine_for_once_leaves_the_file_as_it_is(text, env, flags):
    written(text)
    assert config.check(env=env, flags=flags)[1] == []


def test_a_kind_that_is_a_mistake_is_the_only_one():
    written(f"[engine]\nkind = 'message'\n{MESSAGES}")
    (problem,) = config.check(env={})[1]
    assert "engine.kind must be" in problem.what


def test_the_secrets_that_engines_lack_are_named():
    written(f"{TWO}[engines.rest.scripted]\n[engines.claude]\nkind = 'messages'\n")
    settings = config.load(env={}).settings
    told = [problem.what for problem in config.missing_secrets(settings, {"EU_KEY": "k"})]
    assert [what.partition(" is not set")[0] for what in told] == [
        "engines.claude.messages.api_key: The environment variable ANTHROPIC_API_KEY"
    ]
    assert not list(config.missing_secrets(settings, {"EU_KEY": "k", "ANTHROPIC_API_KEY": "k"}))


def test_variables_of_engines_are_refused_as_others_are():
    error = refusal("", OUTCROP_ENGINES__EU__KND="local")
    assert error.what == "OUTCROP_ENGINES__EU__KND: [engines.eu] has no setting 'knd'."
    assert "names its section" in refusal("", OUTCROP_ENGINES="local").what
    assert "OUTCROP_ENGINES__EU" in refusal("", OUTCROP_ENGINES__EU="local").what


def test_what_is_hardly_meant_is_a_warning():
    def told(text):
        written(text)
        return list(config.warnings(config.load(env={}).settings))

    assert told("") == told(TWO) == []
    only = "[engines.eu]\nregions = ['eu-west-1']\n"
    (unserved,) = told(only)
    assert "No engine stands in bedrock.region (us-west-2)" in unserved
    bound = "[bedrock]\nregion = 'eu-west-1'\nresidency = ['eu']\n[engines.us]\nregions = ['us-east-1']\n"
    (never,) = told(bound + only)
    assert never.startswith("[engines.us] is never asked")


def test_every_setting_of_an_engine_says_what_it_wants_and_what_it_is_for():
    mine = [
        setting
        for where, setting in config.catalogue(["<name>"]).items()
        if where[:2] == ("engines", "<name>")
    ]
    single = [where for where in config.catalogue() if where[:1] == ("engine",)]
    assert {setting.where[2:] for setting in mine} >= {where[1:] for where in single}
    for setting in mine:
        assert setting.wanted
        assert setting.purpose.endswith(".")
        assert setting.variable.startswith("OUTCROP_ENGINES__<NAME>__")
