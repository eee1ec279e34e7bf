"""Who signs: arguments, API key, environment, AWS's files, and through botocore everything else.

Knows the order of the sources and when each applies; nothing of requests. Keys that are given are checked at
once; files are read, programs run and servers asked when the first call needs credentials.

The order is that of botocore 1.44 (`create_credential_resolver`), with the API key where `anthropic`'s client
has it. Static keys in the files are read here, because importing botocore takes longer than a call; and only
where botocore's chain would come to the same keys. A role, SSO, a program, a container and the rest are
botocore's: it has the refreshing, the caches and the logins.

    find_source(…)      Fixed        keys, an API key: given, or in the environment
                        Dated        temporary keys in the environment that say when they end
                        Lazy         the files, then botocore
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import msgspec

from outcrop.client.errors import CredentialsError, UsageError
from outcrop.client.profiles import Files, Profile, Value, as_text, named
from outcrop.wire.sigv4 import Credentials

if TYPE_CHECKING:
    from threading import Lock

_ACCESS: Final = "AWS_ACCESS_KEY_ID"
_SECRET: Final = "AWS_SECRET_ACCESS_KEY"  # noqa: S105  variables' names
_BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"
_ENDS: Final = "AWS_CREDENTIAL_EXPIRATION"
# botocore's order: the older name goes first
_TOKENS: Final = ("AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
_TOKENS_IN_FILES: Final = ("aws_security_token", "aws_session_token")
_ARGUMENTS: Final = "the arguments"
_NAME_BOTH: Final = " Without names the secret comes first: write aws_access_key=…, aws_secret_key=…."
_EXTRA: Final = 'pip install "outcrop[aws]"'

# A child process shares its parent's botocore only while that has longer to go than this, in seconds. Above
# botocore's own 15 minutes, so that it can't come to refresh over the parent's connection.
_CHILD_MARGIN: Final = 16 * 60


class ApiKey(msgspec.Struct, frozen=True):
    """A Bedrock API key, sent as it is (`authorization: Bearer …`)."""

    token: str

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def __rich_repr__(self) -> Any:
        # msgspec's own would hand the key to rich and its kin
        return iter(())


Key: TypeAlias = Credentials | ApiKey


class Source(Protocol):
    """Where a client's credentials come from."""

    @property
    def origin(self) -> str:
        """For a debug line: `the environment (AWS_ACCESS_KEY_ID)`, `profile 'dev' in ~/.aws/credentials`."""

    @property
    def fixed(self) -> bool:
        """Whether get() always gives the same, at once. May become true with the first get()."""

    @property
    def ready(self) -> bool:
        """Whether get() would answer now without reading a file, running a program or asking a server."""

    def get(self) -> Key:
        """The credentials to sign with now; may block. Safe in threads and after a fork.

        Raises CredentialsError, and ConfigFileError for a broken file of AWS's.
        """


class Fixed:
    """Credentials that are there: nothing is looked up, nothing ends."""

    __slots__ = ("_key", "origin")
    fixed: Final = True
    ready: Final = True
    ours: Final = True  # in every process

    def __init__(self, key: Key, origin: str) -> None:
        self._key = key
        self.origin = origin

    def __repr__(self) -> str:
        return f"Fixed({self.origin!r})"

    def get(self) -> Key:
        """The credentials."""
        return self._key


class Dated:
    """Temporary keys in the environment with the time of their end, read anew each time.

    Whoever puts AWS_CREDENTIAL_EXPIRATION there (`aws configure export-credentials`, aws-vault) may replace
    the keys before it.
    """

    fixed: Final = False
    ready: Final = True
    origin: Final = f"the environment ({_ACCESS}, until {_ENDS})"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __repr__(self) -> str:
        return f"Dated({self.origin!r})"

    def get(self) -> Key:
        """The keys of this moment. Raises CredentialsError when they have ended, or are gone."""
        keys = _in_environment(self._environ)
        if keys is None:
            raise CredentialsError(
                f"{_ACCESS} is no longer in the environment.", "Set it again, or make a new client."
            )
        text = self._environ.get(_ENDS, "")
        if text and _seconds(text) <= time.time():
            raise CredentialsError(
                f"The keys in the environment ended at {text} ({_ENDS}).",
                "Fetch new ones the way these came.",
            )
        return keys


def find_source(
    *,
    access_key: str | None,
    secret_key: str | None,
    session_token: str | None,
    api_key: str | None,
    profile: str | None,
    environ: Mapping[str, str],
    region: str,
    files: Files | None = None,
) -> Source:
    """Where credentials come from: key arguments, `api_key`, `profile`, else the API key in the environment,
    the keys there, AWS's files, botocore.

    A `profile` given as an argument leaves the environment's keys aside, as in botocore; AWS_PROFILE does
    not. `region` is where STS is asked. botocore looks into the environment of the process, not `environ`.

    Raises CredentialsError for what is wrong in the arguments and in the environment's keys.
    """
    _check_arguments(access_key, secret_key, session_token, api_key, profile)
    if api_key is not None:
        return Fixed(_api_key(api_key, "the argument api_key"), "the argument api_key")
    if access_key is not None and secret_key is not None:
        keys = _checked(access_key, secret_key, session_token or "", _ARGUMENTS)
        return Fixed(keys, "the arguments (aws_access_key)")
    if profile is None:
        if text := environ.get(_BEARER):
            return Fixed(_api_key(text, _BEARER), f"the environment ({_BEARER})")
        if (found := _in_environment(environ)) is not None:
            return Dated(environ) if environ.get(_ENDS) else Fixed(found, f"the environment ({_ACCESS})")
    return Lazy(profile, environ, region, files)


def _check_arguments(
    access_key: str | None,
    secret_key: str | None,
    session_token: str | None,
    api_key: str | None,
    profile: str | None,
) -> None:
    given = {
        "aws_access_key": access_key,
        "aws_secret_key": secret_key,
        "aws_session_token": session_token or None,
        "aws_profile": profile,
        "api_key": api_key,
    }
    names = [name for name, value in given.items() if value is not None]
    for name in names:
        text = as_text(given[name], name)
        if not text:
            raise CredentialsError(
                f"The argument {name} is empty.", "Give a value, or None to look for credentials elsewhere."
            )
        if name.startswith("aws_") and text.strip(" ") != text:
            # blanks in files and in the environment count, as with botocore; here nobody means them
            raise CredentialsError(
                f"The argument {name} begins or ends with a blank.", f"Take it away: {name}.strip()"
            )
    if api_key is not None and len(names) > 1:
        raise CredentialsError(
            f"api_key and {names[0]} contradict each other: a call is signed, or sent with an API key.",
            "Give one of them.",
        )
    missing = [name for name in ("aws_access_key", "aws_secret_key") if name not in names]
    if len(missing) == 1:
        other = "aws_secret_key" if missing[0] == "aws_access_key" else "aws_access_key"
        raise CredentialsError(
            f"The argument {other} is given without {missing[0]}.", "Give both, or neither."
        )
    if missing and session_token:
        raise CredentialsError(
            "The argument aws_session_token is given without aws_access_key and aws_secret_key.",
            "Give the three together, or none of them.",
        )


def _api_key(text: str, origin: str) -> ApiKey:
    if not text.isascii() or not text.isprintable() or " " in text:
        raise CredentialsError(
            f"The API key in {origin} holds a blank, a line break or a character that no API key has.",
            "Copy it again, without what stands around it.",
        )
    return ApiKey(text)


def _in_environment(environ: Mapping[str, str]) -> Credentials | None:
    """The key pair in the environment. Half of one is an error here, where botocore may pass over it."""
    access_key, secret = environ.get(_ACCESS), environ.get(_SECRET)
    held = [name for name in _TOKENS if environ.get(name)]
    if access_key and secret:
        return _checked(access_key, secret, environ[held[0]] if held else "", "the environment")
    present = [name for name, text in ((_ACCESS, access_key), (_SECRET, secret)) if text]
    if not present and not held:
        return None
    missing = [name for name in (_ACCESS, _SECRET) if name not in present]
    raise CredentialsError(
        f"The environment has {(present or held)[0]} but no {' and no '.join(missing)}.",
        f"Set {' and '.join(missing)} too, or unset {(present or held)[0]}.",
    )


def _checked(access_key: str, secret: str, token: str, origin: str) -> Credentials:
    """Keys as they came: blanks around them stay, as with botocore. Line breaks raise."""
    for name, text in (("access key", access_key), ("secret key", secret), ("session token", token)):
        if not text.isprintable() or not (text.isascii() or name == "secret key"):
            raise CredentialsError(
                f"The {name} in {origin} holds a line break or a character that no key has.",
                "Copy it again, on one line.",
            )
    if not access_key or not secret:
        name = "secret key" if access_key else "access key"
        raise CredentialsError(f"The {name} in {origin} is empty.", "Give both keys, or take both out.")
    if _exchanged(access_key, secret):
        raise CredentialsError(
            f"The access key and the secret key in {origin} look exchanged.",
            "The access key is the short one, which begins with AKIA or ASIA: exchange them."
            + _NAME_BOTH * (origin == _ARGUMENTS),
        )
    return Credentials(access_key, secret, token)


def _exchanged(access_key: str, secret: str) -> bool:
    """Whether a pair has the forms that AWS gives the two (20 characters, and 40 of base64) the other way."""
    return (
        secret.startswith(("AKIA", "ASIA"))
        and 16 <= len(secret) <= 24
        and secret.isalnum()
        and secret.isupper()
        and (len(access_key) == 40 or "/" in access_key or "+" in access_key)
    )


def _seconds(text: str) -> float:
    """Epoch seconds of an ISO 8601 time; without an offset it is UTC."""
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CredentialsError(
            f"{_ENDS} is no time: {text!r}.", "Write it as 2026-01-31T12:00:00Z, or unset it."
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


# ── the files ─────────────────────────────────────────────────────────────────────────────────────


class _Elsewhere:
    """The files leave it to botocore. `setting` is what in the profile says so, "" where nothing does."""

    __slots__ = ("profile", "setting")

    def __init__(self, setting: str, profile: Profile | None) -> None:
        self.setting = setting
        self.profile = profile

    @property
    def where(self) -> str:
        """For people: `credential_process in profile 'dev' in ~/.aws/config`; "" where nothing says so."""
        if self.profile is not None and self.setting in self.profile:
            return f"{self.setting} in {self.profile.origin(self.setting)}"
        return f"{self.setting} in the environment" if self.setting else ""


def choose(profile: Profile | None, environ: Mapping[str, str], *, explicit: bool) -> Fixed | _Elsewhere:
    """What botocore's chain comes to in the files: static keys, or something that only it can do.

    `profile` is None where neither file has it; `explicit` says that an argument named it. The order of the
    questions is the order of botocore's providers. Raises CredentialsError for half a key pair.
    """
    role = _role(profile, None if explicit else environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"))
    if role or profile is None:
        return _Elsewhere(role, profile)
    for place, settings in (
        (None, ("sso_role_name", "sso_account_id")),
        (profile.shared, ("login_session", "credential_process")),
        (profile.config, ()),
    ):
        if place is not None and "aws_access_key_id" in place:
            return _static(place, profile.origin("aws_access_key_id"))
        for setting in settings:
            if setting in profile:
                return _Elsewhere(setting, profile)
    return _Elsewhere("", profile)


def _role(profile: Profile | None, token_file: str | None) -> str:
    """The setting by which a role is assumed; "" for none. `token_file` is the environment's."""
    if profile is not None and "role_arn" in profile and "web_identity_token_file" not in profile:
        return "role_arn"
    if token_file:
        return "AWS_WEB_IDENTITY_TOKEN_FILE"
    # a variable that is set but empty hides the profile's setting
    if profile is not None and token_file is None and profile.get("web_identity_token_file"):
        return "web_identity_token_file"
    return ""


def _static(settings: Mapping[str, Value], origin: str) -> Fixed:
    if "aws_secret_access_key" not in settings:
        raise CredentialsError(
            f"{origin} has aws_access_key_id but no aws_secret_access_key.", "Add the other half of the pair."
        )
    token = next((settings[name] for name in _TOKENS_IN_FILES if name in settings), "")
    access_key, secret = settings["aws_access_key_id"], settings["aws_secret_access_key"]
    # settings indented below a key's name are no key; as text they have line breaks, and are refused as such
    texts = ["\n" if isinstance(text, dict) else text for text in (access_key, secret, token)]
    return Fixed(_checked(texts[0], texts[1], texts[2], origin), origin)


# ── files, then botocore ──────────────────────────────────────────────────────────────────────────


class Lazy:
    """The files, then botocore; looked up at the first get(), once.

    After a fork the child looks up anew before botocore would refresh: its locks and connections are the
    parent's.
    """

    def __init__(
        self, profile: str | None, environ: Mapping[str, str], region: str, files: Files | None = None
    ) -> None:
        self._profile = profile
        self._environ = environ
        self._region = region
        self._files = files
        self._found: Fixed | _Borrowed | None = None
        # one a process: a lock that another thread holds at a fork is never released in the child
        self._locks: dict[int, Lock] = {}
        self._failures = 0
        self._failure: UsageError | None = None

    def __repr__(self) -> str:
        return f"Lazy({self.origin!r})"

    @property
    def origin(self) -> str:
        """Where the credentials were found; before the first get(), where they will be looked for."""
        if self._found is not None:
            return self._found.origin
        name = named(self._profile, self._environ) or "default"
        return f"profile '{name}', then botocore (not looked up yet)"

    @property
    def fixed(self) -> bool:
        """Whether static keys were found in a file: known after the first get()."""
        return self._found is not None and self._found.fixed

    @property
    def ready(self) -> bool:
        """Whether get() would answer now without asking anybody."""
        return self._found is not None and self._found.ready

    def get(self) -> Key:
        """The credentials to sign with now. Raises CredentialsError, ConfigFileError."""
        found = self._found
        if found is None or not found.ours:
            found = self._look_up()
        return found.get()

    def _look_up(self) -> Fixed | _Borrowed:
        from threading import Lock

        failures = self._failures
        with self._locks.setdefault(os.getpid(), Lock()):
            if self._found is not None and self._found.ours:
                return self._found
            if self._failure is not None and self._failures != failures:
                # whoever waited for another thread's search has its outcome, and does not search again
                raise type(self._failure)(self._failure.what, self._failure.fix)
            try:
                self._found = self._search()
            except UsageError as error:
                self._failure = error
                self._failures += 1
                raise
            return self._found

    def _search(self) -> Fixed | _Borrowed:
        # read for the client's other settings; a second search reads anew
        files, self._files = self._files or Files(self._environ), None
        name = named(self._profile, self._environ)
        profile = files.wanted(name) if name else files.profile("default")
        found = choose(profile, self._environ, explicit=self._profile is not None)
        if isinstance(found, Fixed):
            return found
        borrowed = _borrow(found, name, self._region, explicit=self._profile is not None)
        if borrowed is None:
            raise self._nothing(files, name or "default")
        return borrowed

    def _nothing(self, files: Files, name: str) -> CredentialsError:
        places = ["the arguments (aws_access_key and aws_secret_key, api_key)"]
        if self._profile is None:
            places.append(f"the environment ({_BEARER}, {_ACCESS} and {_SECRET})")
        for file in (files.shared_name, files.config_name):
            places.append(
                f"profile '{name}' in {file or 'no file'}{'' if files.there(file) else ' (not there)'}"
            )
        places.append("botocore: containers, instance metadata, old boto files")
        listed = "".join(f"\n  {number}. {place}" for number, place in enumerate(places, 1))
        return CredentialsError(
            f"No AWS credentials were found. Looked at, in this order:{listed}", _GET_SOME
        )


_GET_SOME: Final = (
    f"Run `aws configure`, or set {_ACCESS} and {_SECRET} (or {_BEARER}); "
    'for an Outcrop endpoint of your own: eval "$(outcrop env)".'
)


# ── botocore ──────────────────────────────────────────────────────────────────────────────────────

# What to do when a source of botocore's fails, by the setting that led to it.
_FIXES: Final = {
    "role_arn": "Check role_arn and source_profile, and that the role trusts whoever assumes it.",
    "web_identity_token_file": "Check role_arn, the token's file, and that the role trusts its issuer.",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "Check AWS_ROLE_ARN, and that the role trusts the token's issuer.",
    "sso_role_name": "Log in again: aws sso login --profile {name}",
    "sso_account_id": "Log in again: aws sso login --profile {name}",
    "login_session": "Log in again: aws login --profile {name}",
    "credential_process": "Run it by hand: it must print JSON with Version, AccessKeyId, SecretAccessKey.",
    "": "Check AWS_CONTAINER_CREDENTIALS_FULL_URI, or the instance's role.",
}


class _Borrowed:
    """Credentials that botocore keeps fresh."""

    fixed: Final = False

    def __init__(self, credentials: Any, found: _Elsewhere, fix: str) -> None:
        self._credentials = credentials
        self._where = found.where
        self._fix = fix
        self._process = os.getpid()
        self._last: tuple[Any, Credentials | None] = (None, None)
        self.origin = f"botocore: {credentials.method}"

    @property
    def ours(self) -> bool:
        """Whether this process may ask it: it is where it was made, or need not refresh for a while."""
        return os.getpid() == self._process or not self._credentials.refresh_needed(_CHILD_MARGIN)

    @property
    def ready(self) -> bool:
        """Whether get() would not refresh now."""
        return self.ours and not self._credentials.refresh_needed()

    def get(self) -> Credentials:
        """What botocore has now, refreshed when it is near its end. Raises CredentialsError."""
        try:
            frozen = self._credentials.get_frozen_credentials()
        except Exception as error:  # anything: see _failed
            raise _failed(error, self.origin, self._where, self._fix) from error
        known, credentials = self._last
        if credentials is None or frozen is not known:
            credentials = _checked(frozen.access_key, frozen.secret_key, frozen.token or "", self.origin)
            self._last = frozen, credentials
        return credentials


def _borrow(found: _Elsewhere, name: str, region: str, *, explicit: bool) -> Fixed | _Borrowed | None:
    """Credentials of botocore's chain; None when it finds none."""
    try:
        from botocore.configprovider import ConstantProvider
        from botocore.credentials import RefreshableCredentials
        from botocore.session import Session
    except ModuleNotFoundError as error:
        raise _no_botocore(found, error) from None
    fix = _FIXES[found.setting].format(name=name or "default")
    try:
        session = Session(profile=name if explicit else None)
        if not explicit:
            # as we understood the environment, where an empty variable is none
            session.get_component("config_store").set_config_provider(
                "profile", ConstantProvider(name or None)
            )
        # STS is asked where the client's calls go, as botocore does for a client of its own
        session.set_config_variable("region", region)
        credentials = session.get_credentials()
    except Exception as error:  # anything: see _failed
        raise _failed(error, "botocore", found.where, fix) from error
    if credentials is None:
        return None
    if isinstance(credentials, RefreshableCredentials):
        return _Borrowed(credentials, found, fix)
    origin = f"botocore: {credentials.method}"
    return Fixed(
        _checked(credentials.access_key, credentials.secret_key, credentials.token or "", origin), origin
    )


def _failed(error: Exception, origin: str, where: str, fix: str) -> CredentialsError:
    """A failure inside botocore's providers, whatever it is.

    They run the user's programs and read other people's JSON, and let out what comes of it: beside botocore's
    own errors OSError, ValueError, KeyError, AttributeError and TypeError were seen. None of them means more
    than that there are no credentials; the cause is chained.
    """
    text = str(error).strip()
    if not type(error).__module__.startswith("botocore"):
        text = f"{type(error).__name__}: {text}"
    by = f" by {where}" if where else ""
    return CredentialsError(f"{origin} found no credentials{by}: {text}", fix)


def _no_botocore(found: _Elsewhere, error: ModuleNotFoundError) -> CredentialsError:
    if (error.name or "").partition(".")[0] != "botocore":
        raise error
    if found.setting:
        return CredentialsError(
            f"{found.where} needs botocore, which is not installed.", f"Install it: {_EXTRA}"
        )
    return CredentialsError(
        "No AWS credentials were found in the arguments, the environment and AWS's files. Containers and "
        "instance metadata were not asked: botocore is not installed.",
        f"{_GET_SOME} For roles, SSO and instances: {_EXTRA}",
    )
