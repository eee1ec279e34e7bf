"""`outcrop doctor`: every ill it knows, and what it advises."""

from __future__ import annotations

import datetime
import http.server
import json
import threading
from pathlib import Path

import pytest

from outcrop import tls
from outcrop.cli.doctor import clients, engines, finding, machine
from outcrop.cli.doctor.finding import Finding, Patient
from outcrop.cli.keys import own_key, principals_of
from outcrop.cli.running import Running, free_port
from outcrop.config import Data, Engine, Local, Messages, Placed, Scripted, Server, Settings
from outcrop.service.principals import Principals

URL = "http://127.0.0.1:8080"
HERE = Running(URL, 1, "scripted", "us-west-2", "0")
GOOD = {
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": URL,
    "AWS_ENDPOINT_URL_BEDROCK": URL,
    "AWS_ENDPOINT_URL_STS": URL,
    "ANTHROPIC_BEDROCK_BASE_URL": URL,
    "AWS_ACCESS_KEY_ID": "AKIA1",
    "AWS_SECRET_ACCESS_KEY": "s",
    "AWS_REGION": "us-west-2",
    "AWS_DEFAULT_REGION": "us-west-2",
}


def patient(
    data: Path = Path(), running: Running | None = None, env: dict[str, str] | None = None, **sections
):
    return Patient(Settings(data=Data(data), **sections), (), running, env or {})


def principals(data: Path) -> Principals:
    return principals_of(Settings(data=Data(data)))


def only(found) -> Finding:
    [one] = found
    return one


def test_a_healthy_endpoint_gets_no_failure(serving, cli):
    with serving():
        found = json.loads(cli("doctor", "--output", "json").stdout)
    by_subject = {entry["subject"]: entry for entry in found}
    assert by_subject["endpoint"]["saw"].endswith("verified a signature; engine scripted")
    assert by_subject["clock"]["status"] == "ok"
    assert not [entry for entry in found if entry["status"] == "fail"]
    assert all(entry["fix"] for entry in found if entry["status"] != "ok")


def test_a_failure_ends_with_1_and_says_what_to_do(cli):
    Path("outcrop.toml").write_text("[server]\nprot = 1\n")
    output = cli("doctor", code=1).output
    assert "fail settings" in output
    assert "Did you mean 'port'?" in output
    assert "SmolLM2, not Claude" in output


@pytest.mark.parametrize("name", ["state.db", "master.key"])
def test_a_state_or_a_master_key_that_others_may_read_fails(data: Path, name: str):
    own_key(principals(data))
    (data / name).chmod(0o644)
    found = only(machine.keys(patient(data)))
    assert (found.status, f"chmod 600 {data / name}" in found.fix) == ("fail", True)


def test_a_state_without_its_master_key_fails(data: Path):
    own_key(principals(data))
    assert only(machine.keys(patient(data))).status == "ok"
    (data / "master.key").unlink()
    found = only(machine.keys(patient(data)))
    assert (found.status, "master.key is gone" in found.saw) == ("fail", True)
    assert not (data / "master.key").exists()


def test_keys_of_an_older_version_are_named_before_and_after(data: Path):
    data.mkdir()
    old = {"schema": 1, "account": "123456789012", "session_secret": "A" * 43 + "="}
    (data / "keys.json").write_text(json.dumps(old))
    (data / "keys.json").chmod(0o600)
    assert "is of an older version" in only(machine.keys(patient(data))).saw
    own_key(principals(data))
    well, left = machine.keys(patient(data))
    assert (well.status, left.status) == ("ok", "warn")
    assert "keys.json.imported holds the secrets" in left.saw


def test_no_keys_yet_is_only_a_warning(data: Path):
    assert only(machine.keys(patient(data))).status == "warn"
    assert not data.exists()


def test_an_endpoint_that_does_not_know_our_key_fails(serving, data: Path, tmp_path: Path):
    with serving() as (_, running):
        own_key(principals(tmp_path / "other"))
        found = only(machine.endpoint(patient(tmp_path / "other", running)))
    assert found.status == "fail"
    assert "403" in found.saw


def test_an_endpoint_that_is_gone_fails(data: Path):
    gone = Running(f"http://127.0.0.1:{free_port()}", 1, "scripted", "us-west-2", "0")
    assert "does not answer" in only(machine.endpoint(patient(data, gone))).saw


def test_a_record_left_behind_is_named(data: Path):
    data.mkdir()
    (data / "endpoint.json").write_text(
        json.dumps({"url": URL, "pid": 1, "engine": "", "region": "", "version": ""})
    )
    assert "was left behind" in only(machine.endpoint(patient(data))).saw


def test_a_clock_that_is_wrong_fails():
    assert only(finding.clock("endpoint's", "Tue, 24 Nov 2020 10:00:00 GMT")).status == "fail"
    assert list(finding.clock("endpoint's", None)) == []


def test_certificates_are_judged(data: Path):
    assert only(machine.tls(patient(data))).status == "ok"
    assert only(machine.tls(patient(data, server=Server(tls=True)))).status == "warn"
    files = tls.ensure(data)
    assert "good for" in only(machine.tls(patient(data))).saw
    tls._make_leaf(files, tls.ALWAYS, datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=800))
    assert only(machine.tls(patient(data))).status == "warn"
    files.bundle.write_bytes(b"")
    assert only(machine.tls(patient(data))).status == "fail"
    files.certificate.write_bytes(b"")
    assert only(machine.tls(patient(data))).status == "fail"


def test_a_taken_port_fails_unless_it_is_ours():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert only(machine.port(patient(server=Server(port=port)))).status == "fail"
        assert list(machine.port(patient(server=Server(port=port), running=HERE))) == []
    assert only(machine.port(patient(server=Server(port=free_port())))).status == "ok"


def test_a_shell_that_points_here_is_well():
    assert only(clients.environment(patient(running=HERE, env=GOOD))).status == "ok"


@pytest.mark.parametrize(
    ("change", "status", "saw"),
    [
        ({"AWS_ENDPOINT_URL": URL}, "warn", "sends S3 and every other service"),
        ({"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, "fail", "ignore these addresses"),
        ({"AWS_BEARER_TOKEN_BEDROCK": "x"}, "fail", "boto3 refuses to send it"),
        ({"AWS_PROFILE": "work"}, "warn", "AWS_PROFILE is work"),
        ({"HTTP_PROXY": "http://proxy:1"}, "warn", "HTTP_PROXY is set, and clients will ask it"),
        ({"http_proxy": "http://proxy:1", "no_proxy": "example.org"}, "warn", "HTTP_PROXY is set"),
        ({"AWS_SESSION_TOKEN": "t"}, "fail", "beside a long-term key"),
        ({"AWS_ACCESS_KEY_ID": None}, "warn", "no keys"),
        ({"AWS_REGION": None}, "warn", "AWS_REGION not set"),
        ({"AWS_DEFAULT_REGION": None}, "warn", "AWS_DEFAULT_REGION not set"),
        ({"AWS_ENDPOINT_URL_STS": None}, "warn", "not set: AWS_ENDPOINT_URL_STS"),
        ({"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1"}, "warn", "lead to another address"),
    ],
)
def test_what_would_lead_clients_astray_is_named(change: dict[str, str | None], status: str, saw: str):
    env = {name: value for name, value in (GOOD | change).items() if value is not None}
    found = only(clients.environment(patient(running=HERE, env=env)))
    assert found.status == status
    assert saw in found.saw
    assert found.fix


def test_without_an_endpoint_the_addresses_are_those_of_the_settings():
    assert only(clients.environment(patient(env=GOOD))).status == "ok"
    found = only(clients.environment(patient(env=GOOD, server=Server(port=9000))))
    assert (found.status, found.fix) == ("warn", 'Run eval "$(outcrop env)" again.')


def test_keys_that_the_endpoint_does_not_have_are_named(data: Path):
    keys = principals(data)
    pair, secret = keys.create_access_key("local")
    ours = GOOD | {"AWS_ACCESS_KEY_ID": pair.id, "AWS_SECRET_ACCESS_KEY": secret}

    def found(**change: str) -> Finding:
        return only(clients.environment(patient(data, HERE, ours | change)))

    assert found().status == "ok"
    assert "does not know" in found(AWS_ACCESS_KEY_ID="AKIASTRANGER").saw
    assert "is not the secret" in found(AWS_SECRET_ACCESS_KEY="another").saw
    keys.revoke(pair.id)
    assert found().status == "fail"


def test_a_certificate_of_ones_own_is_tried(data: Path):
    files = tls.ensure(data / "own")
    server = Server(
        port=free_port(), tls=True, tls_port=free_port(), tls_certificate=files.certificate, tls_key=files.ca
    )
    assert "of your own" in only(machine.tls(patient(data, server=server))).saw
    assert [found.status for found in machine.port(patient(data, server=server))] == ["ok", "fail"]


def test_a_proxy_that_is_not_asked_for_loopback_is_well():
    env = GOOD | {"HTTP_PROXY": "http://proxy:1", "NO_PROXY": "localhost,127.0.0.1"}
    assert only(clients.environment(patient(running=HERE, env=env))).status == "ok"


def test_https_without_trust_is_named(data: Path):
    here = Running(URL, 1, "scripted", "us-west-2", "0", "https://127.0.0.1:8443")
    env = {name: value.replace("http://127.0.0.1:8080", here.tls_url) for name, value in GOOD.items()}
    assert len(list(clients.environment(patient(running=here, env=env)))) == 3
    files = tls.ensure(data)
    env |= {"AWS_CA_BUNDLE": str(files.bundle), "SSL_CERT_FILE": str(files.bundle)}
    env["NODE_EXTRA_CA_CERTS"] = str(files.ca)
    assert only(clients.environment(patient(running=here, env=env))).status == "ok"


@pytest.mark.parametrize(
    ("version", "knows", "status", "saw"),
    [
        ("aws-cli/2.13.23 Python/3.11", True, "ok", "2.13.23 (the guide asks"),
        ("aws-cli/2.9.19 Python/3.11", True, "warn", "older than the guide's 2.13.23"),
        ("aws-cli/1.46.3 Python/3.11", True, "ok", "version 1"),
        ("aws-cli/1.22.34 Python/3.9", False, "warn", "version 1"),
        ("what?", False, "warn", "does not tell its version"),
    ],
)
def test_the_aws_cli_is_measured_by_the_guide(
    monkeypatch: pytest.MonkeyPatch, version: str, knows: bool, status: str, saw: str
):
    monkeypatch.setattr(clients.shutil, "which", lambda _: "/usr/bin/aws")
    skeleton = '{"byProvider": ""}' if knows else "Invalid choice"
    monkeypatch.setattr(clients, "_said", lambda command: version if "--version" in command else skeleton)
    found = only(clients.aws_cli(patient()))
    assert found.status == status
    assert saw in found.saw


def test_the_aws_cli_that_is_installed_knows_bedrock():
    import sys

    assert clients._knows_bedrock(str(Path(sys.executable).with_name("aws")))


@pytest.fixture
def upstream():
    """A server of the Messages API as far as the doctor asks: it wants the key `sk-good`."""

    class Models(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            good = "sk-good" in (self.headers.get("x-api-key", ""), self.headers.get("authorization", "")[7:])
            self.send_response(200 if good and self.path == "/v1/models" else 401)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Models) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("key", "status"), [("sk-good", "ok"), ("sk-bad", "fail")])
@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
def test_an_upstream_and_its_key_are_tried(upstream: str, key: str, status: str, auth):
    from outcrop.config import Secret

    messages = Messages(base_url=upstream, api_key=Secret(key), auth=auth)
    found = list(engines.engine(patient(engine=Engine(kind="messages", messages=messages))))
    assert found[0].status == status
    assert "sk-" not in "".join(found[0])
    assert found[1].subject == "clock"


def test_an_upstream_that_is_not_there_fails():
    messages = Messages(base_url=f"http://127.0.0.1:{free_port()}")
    found = only(engines.engine(patient(engine=Engine(kind="messages", messages=messages))))
    assert (found.status, "can't be reached" in found.saw) == ("fail", True)


def test_a_local_model_is_looked_at(data: Path):
    assert only(engines.engine(patient(data))).status == "warn"
    (data / "models").mkdir(parents=True)
    named = data / "some.gguf"
    named.write_bytes(b"no model at all, but long enough")
    local = Engine(local=Local(model_file=named))
    assert only(engines.engine(patient(data, engine=local))).status == "fail"
    named.write_bytes(b"GGUF" + bytes(20))
    assert only(engines.engine(patient(data, engine=local))).status == "ok"


def test_scripted_answers_are_read(data: Path):
    assert only(engines.engine(patient(engine=Engine(kind="scripted")))).status == "ok"
    missing = Engine(kind="scripted", scripted=Scripted(Path("nothing.json")))
    assert only(engines.engine(patient(engine=missing))).status == "fail"


def test_an_endpoint_with_another_engine_is_said():
    assert "runs with scripted" in only(engines.engine(patient(running=HERE))).saw


def test_a_state_that_is_gone_fails(data: Path):
    own_key(principals(data))
    (data / "state.db").unlink()
    found = only(machine.keys(patient(data)))
    assert (found.status, "state.db is gone" in found.saw) == ("fail", True)
    assert not (data / "state.db").exists()


def test_the_setting_to_check_is_the_engines_own():
    messages = Messages(base_url=f"http://127.0.0.1:{free_port()}")
    placed = {"ohio": Placed("messages", messages=messages)}
    found = next(engines.engine(patient(engines=placed)))
    assert (found.subject, "Check engines.ohio.messages.base_url" in found.fix) == ("engines.ohio", True)
