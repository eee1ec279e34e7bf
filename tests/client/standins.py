"""Stand-ins for whoever hands out AWS credentials: STS, SSO, a container's agent, instance metadata.

One small server for all of them. Which keys it gives is told by `generation`, and for how long by `lifetime`
(seconds): a test that wants new keys raises the one, a test that wants refreshing lowers the other.
"""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ROLE = "stand-in-role"
SSO_TOKEN = "sso-access-token"
CONTAINER_TOKEN = "Bearer container-token"
IMDS_TOKEN = "imds-session-token"

REFUSED = (
    "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not you</Message></Error>"
    "<RequestId>1</RequestId></ErrorResponse>"
)

# What a request is, by method and path, and the name under which it is counted.
KINDS = {
    ("POST", "/"): "sts",
    ("POST", "/token"): "oidc",
    ("GET", "/federation/credentials"): "sso",
    ("GET", "/container"): "container",
    ("PUT", "/latest/api/token"): "imds_token",
    ("GET", "/latest/meta-data/iam/security-credentials/"): "imds_role",
    ("GET", f"/latest/meta-data/iam/security-credentials/{ROLE}"): "imds_keys",
}


class Standin:
    """The state of the stand-ins, and what they were asked."""

    def __init__(self):
        self.url = ""
        self.generation = 1
        self.lifetime = 3600
        self.asked = []
        self.broken = False
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def keys(self):
        """Access key, secret and session token of this generation."""
        number = f"{self.generation:06}"
        return f"ASIASTANDIN{number}", f"secret/{number}", f"token+{number}"

    @property
    def names(self):
        return [name for name, _ in self.asked]

    def expires(self, lifetime=None):
        moment = time.time() + (self.lifetime if lifetime is None else lifetime)
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))

    def as_json(self):
        """Keys as containers and instances hand them out, and with a Version as programs print them."""
        access_key, secret, token = self.keys
        return {
            "Version": 1,
            "AccessKeyId": access_key,
            "SecretAccessKey": secret,
            "Token": token,
            "SessionToken": token,
            "Expiration": self.expires(),
        }

    def answer(self, kind, headers, query):
        """Status and body of an answer."""
        if self.broken:
            return (403, REFUSED) if kind == "sts" else (500, {"message": "the stand-in is broken"})
        refused = (401, {"message": "the stand-in does not know this token"})
        if kind == "sts":
            return 200, self._sts(query["Action"][0])
        if kind == "sso":
            known = headers["x-amz-sso_bearer_token"] == SSO_TOKEN
            return (200, self._sso()) if known else refused
        if kind == "container":
            return (200, self.as_json()) if headers["authorization"] == CONTAINER_TOKEN else refused
        if kind == "imds_token":
            return 200, IMDS_TOKEN
        if kind in ("imds_role", "imds_keys"):
            known = headers["x-aws-ec2-metadata-token"] == IMDS_TOKEN
            return (200, ROLE if kind == "imds_role" else self.as_json()) if known else refused
        return 404, {"message": kind}

    def _sso(self):
        access_key, secret, token = self.keys
        until = int((time.time() + self.lifetime) * 1000)
        return {
            "roleCredentials": {
                "accessKeyId": access_key,
                "secretAccessKey": secret,
                "sessionToken": token,
                "expiration": until,
            }
        }

    def _sts(self, action):
        access_key, secret, token = self.keys
        return (
            f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>'
            f"<Credentials><AccessKeyId>{access_key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
            f"<SessionToken>{token}</SessionToken><Expiration>{self.expires()}</Expiration></Credentials>"
            "<AssumedRoleUser><AssumedRoleId>AROA:s</AssumedRoleId>"
            "<Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn></AssumedRoleUser>"
            f"</{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"
        )


def _handler(standin):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
            parts = urlsplit(self.path)
            kind = KINDS.get((self.command, parts.path), f"{self.command} {parts.path}")
            query = parse_qs(parts.query or body)
            standin.asked.append((kind, {"headers": dict(self.headers), "query": query}))
            standin.go_on.wait(20)
            status, answer = standin.answer(kind, self.headers, query)
            data = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
            self.send_response(status)
            self.send_header("content-type", "text/xml" if kind == "sts" else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = handle_any  # noqa: N815 - http.server's names

        def log_message(self, *about):
            pass

    return Handler


@contextmanager
def running():
    """A stand-in that listens on a port of its own until the block ends."""
    standin = Standin()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(standin))
    server.daemon_threads = True
    standin.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        standin.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
