"""Where calls go: the region, and the addresses of the three services. Arguments, environment, profile.

Knows names of variables and their order; not whether a region exists, opens no connection. Files are read
only where somebody names a profile.

The region's order is the guide's: `~/.aws/config` does not count by itself. The addresses' order is
botocore's (`ConfiguredEndpointProvider`), with the two of `anthropic`'s client before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from outcrop.client.errors import UsageError
from outcrop.client.profiles import Files, Profile, as_text, named
from outcrop.ids import is_region

DEFAULT_REGION: Final = "us-east-1"

# Domains by the beginning of a region's name (botocore's partitions.json); the last one is everybody's.
_DOMAINS: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("", "amazonaws.com"),
)
# The same for addresses that answer over IPv6 too.
_DUAL_STACK: Final = (
    "api.aws",
    "api.amazonwebservices.com.cn",
    "api.amazonwebservices.eu",
    "api.aws.ic.gov",
    "api.aws.scloud",
    "api.cloud-aws.adc-e.uk",
    "api.aws.hci.ic.gov",
)
_AWS: Final = tuple(f".{domain}" for domain in (*(domain for _, domain in _DOMAINS), *_DUAL_STACK))
_HOSTS: Final = frozenset(
    {
        "bedrock",
        "bedrock-fips",
        "bedrock-runtime",
        "bedrock-runtime-fips",
        "bedrock-mantle",
        "sts",
        "sts-fips",
    }
)
_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_EXAMPLE: Final = "Write it as http://localhost:4000 or https://host/prefix."
_ORIGIN_DEFAULT: Final = "the default"
# Ends of paths at which calls are sent, in Bedrock's API and in those that people come from.
_CALLS: Final = (
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/chat/completions",
    "/foundation-models",
    "/inference-profiles",
)
_MODEL_CALLS: Final = frozenset(
    {"invoke", "invoke-with-response-stream", "converse", "converse-stream", "count-tokens"}
)


class Region(NamedTuple):
    """A region's name, and where it was found."""

    name: str
    origin: str


class Addresses(NamedTuple):
    """Base URLs without a slash at the end, and where each was found. `{region}` stands for the region."""

    runtime: str
    control: str
    sts: str
    runtime_origin: str
    control_origin: str
    sts_origin: str


# AWS's first label, the variable, the name in a `services` section of the config file
_Service: TypeAlias = tuple[str, str, str]
_RUNTIME: Final = ("bedrock-runtime", "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "bedrock_runtime")
_CONTROL: Final = ("bedrock", "AWS_ENDPOINT_URL_BEDROCK", "bedrock")
_STS: Final = ("sts", "AWS_ENDPOINT_URL_STS", "sts")


def find_region(
    argument: str | None, profile: str | None, environ: Mapping[str, str], files: Files | None = None
) -> Region:
    """The region to call: argument, AWS_REGION, AWS_DEFAULT_REGION, the named profile's, us-east-1.

    `files` lets several of these functions share one reading of AWS's files. Raises UsageError for text that
    is no region's name, ConfigFileError for a broken file or a profile that is not there.
    """
    if argument is not None:
        return _region(as_text(argument, "aws_region"), "the argument aws_region")
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if text := environ.get(variable):
            return _region(text, variable)
    if name := named(profile, environ):
        found = (files or Files(environ)).wanted(name)
        if text := found.get("region"):
            return _region(text, found.origin("region"))
    return Region(DEFAULT_REGION, _ORIGIN_DEFAULT)


def overlooked_region(region: Region, profile: str | None, environ: Mapping[str, str], files: Files) -> str:
    """The region that the profile `default` names where calls go to the default one all the same; else "".

    That is the guide's rule, and a surprise to who comes from boto3: a log line is the place to say it.
    Looks only at what has been read for other reasons, and opens no file.
    """
    if region.origin != _ORIGIN_DEFAULT or not files.were_read or named(profile, environ):
        return ""
    default = files.profile("default")
    other = default.config.get("region", "") if default is not None else ""
    return other if isinstance(other, str) and other != region.name else ""


def _region(text: str, origin: str) -> Region:
    if is_region(text):
        return Region(text, origin)
    raise UsageError(f"{text!r} is not a region's name ({origin}).", _region_fix(text))


def _region_fix(text: str) -> str:
    """What was meant, where that is plain: blanks, quotation marks, capitals, an availability zone."""
    meant = text.strip().strip("\"'").strip().lower().replace("_", "-")
    for candidate in (meant, meant[:-1]):
        if is_region(candidate):
            return f"Write {candidate}."
    return "Regions are named like us-east-1 or eu-west-3."


def find_addresses(
    base_url: str | None,
    profile: str | None,
    environ: Mapping[str, str],
    files: Files | None = None,
    *,
    region: str = "",
) -> Addresses:
    """The addresses of bedrock-runtime, bedrock and STS.

    The runtime's: `base_url`, ANTHROPIC_BEDROCK_BASE_URL, AWS_ENDPOINT_URL_BEDROCK_RUNTIME, AWS_ENDPOINT_URL,
    the named profile's, AWS's own. The others' likewise from their AWS_* variables on; but where the runtime
    is not AWS's, they are at its address: an endpoint of one's own is one origin for all. `region` chooses
    AWS's domain (China has another); calls may go to others, so `{region}` stays in the URLs.

    Raises UsageError for what is no address, ConfigFileError for a broken file or a missing profile.
    """
    configured = _Configured(profile, environ, files)
    domain = next(domain for prefix, domain in _DOMAINS if region.startswith(prefix))
    runtime, runtime_origin = (
        _anthropic(base_url, environ) or configured.find(_RUNTIME) or _of_aws(_RUNTIME, domain)
    )
    ours = None if is_aws(runtime) else (runtime, runtime_origin)
    control, control_origin = configured.find(_CONTROL) or ours or _of_aws(_CONTROL, domain)
    sts, sts_origin = configured.find(_STS) or ours or _of_aws(_STS, domain)
    return Addresses(runtime, control, sts, runtime_origin, control_origin, sts_origin)


def find_ca_bundle(
    profile: str | None, environ: Mapping[str, str], files: Files | None = None
) -> tuple[str, str]:
    """The file of certificates that the named profile names, and where (`ca_bundle of profile 'dev' in …`).

    ("", "") without one.

    AWS_CA_BUNDLE goes before it, as in botocore. Raises ConfigFileError as `find_region` does.
    """
    name = named(profile, environ)
    if environ.get("AWS_CA_BUNDLE") or not name:
        return "", ""
    found = (files or Files(environ)).wanted(name)
    text = found.get("ca_bundle")
    return (text, f"ca_bundle of {found.origin('ca_bundle')}") if text else ("", "")


def is_aws(url: str) -> bool:
    """Whether an address is one of AWS's own, and not an endpoint or gateway of somebody else's."""
    return _host(url).endswith(_AWS)


def region_of(url: str) -> str:
    """The region in the name of one of AWS's Bedrock or STS hosts; "" for every other host.

    `bedrock-runtime.eu-west-1.amazonaws.com`, its `-fips` and `api.aws` kin, and private endpoints
    (`vpce-….bedrock-runtime.eu-west-1.vpce.amazonaws.com`). Such a host runs what it is asked in its region,
    or in what a profile makes of it. Of a gateway of one's own the name tells nothing, even within AWS's
    domain.
    """
    host = _host(url)
    domain = next((domain for domain in _AWS if host.endswith(domain)), "")
    labels = host.removesuffix(domain).split(".") if domain else []
    if len(labels) > 3 and labels[-1] == "vpce" and labels[0].startswith("vpce-"):
        labels = labels[-3:-1]
    if len(labels) == 2 and labels[0] in _HOSTS and is_region(labels[1]):
        return labels[1]
    return ""


def _host(url: str) -> str:
    """The host in an address that was checked, in lower case and without the dot of the root."""
    authority = url.partition("://")[2].partition("/")[0]
    return authority.partition(":")[0].lower().removesuffix(".")


def _anthropic(base_url: object, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """The two ways that `anthropic`'s client has too."""
    if base_url is not None:
        return _checked(_url_text(base_url), "the argument base_url")
    if text := environ.get("ANTHROPIC_BEDROCK_BASE_URL"):
        return _checked(text, "ANTHROPIC_BEDROCK_BASE_URL")
    return None


def _url_text(given: object) -> str:
    """An address as text: the URL types of httpx2, httpx and others print as the URL they are."""
    if isinstance(given, str):
        return given
    if hasattr(given, "geturl"):  # urllib's results are tuples
        return str(given.geturl())
    return str(given) if hasattr(given, "scheme") else as_text(given, "base_url")


def _of_aws(service: _Service, domain: str) -> tuple[str, str]:
    return f"https://{service[0]}.{{region}}.{domain}", _ORIGIN_DEFAULT


class _Configured:
    """The ways all AWS SDKs have: AWS_ENDPOINT_URL and its kin, and the named profile."""

    def __init__(self, profile: str | None, environ: Mapping[str, str], files: Files | None) -> None:
        self._environ = environ
        name = named(profile, environ)
        self._files = files or Files(environ)
        self._profile: Profile | None = self._files.wanted(name) if name else None
        ignored = environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        if ignored is None and self._profile is not None:
            ignored = self._profile.get("ignore_configured_endpoint_urls")
        self._ignored = ignored is not None and ignored.lower() == "true"

    def find(self, service: _Service) -> tuple[str, str] | None:
        """The address that is configured for a service, and where; None for none."""
        if self._ignored:
            return None
        _, own_variable, key = service
        for variable in (own_variable, "AWS_ENDPOINT_URL"):
            if text := self._environ.get(variable):
                return _checked(text, variable)
        if self._profile is None:
            return None
        text, origin = self._files.service(self._profile, key)
        if text:
            return _checked(text, origin)
        text = self._profile.get("endpoint_url")
        return _checked(text, self._profile.origin("endpoint_url")) if text else None


def _checked(text: str, origin: str) -> tuple[str, str]:
    """An address as it will be used. Taken apart by hand: urllib.parse would be imported for this alone."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"The address in {origin} holds a blank or a character that no URL has.", _EXAMPLE)
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        raise UsageError(f"The address in {origin} begins with neither http:// nor https://.", _EXAMPLE)
    authority, slash, path = rest.partition("/")
    if "@" in rest:  # not quoted: what stands before it may be a password
        raise UsageError(
            f"The address in {origin} holds a user name or a password.",
            "Take it out: Bedrock is told who asks by its own credentials (aws_access_key, api_key).",
        )
    if "?" in rest or "#" in rest:
        raise UsageError(
            f"The address in {origin} has a query or a fragment.", "Leave out `?` or `#` and what follows."
        )
    _check_authority(authority, origin)
    path = (slash + path).rstrip("/")
    base = f"{scheme.lower()}://{authority}"
    if (cut := _before_call(path)) is not None:
        raise UsageError(
            f"The address in {origin} ends in {path[len(cut) :]}, the path of a call, which the client adds.",
            f"Cut that off: {base}{cut}",
        )
    return base + path, origin


def _before_call(path: str) -> str | None:
    """What stands before the path of a call; None where there is no such path at the end."""
    for end in _CALLS:
        if path.endswith(end):
            return path.removesuffix(end)
    before, model, rest = path.rpartition("/model/")
    name, _, operation = rest.partition("/")
    if model and (operation in _MODEL_CALLS or (not operation and "claude" in name.lower())):
        return before
    return None


def _check_authority(authority: str, origin: str) -> None:
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        proper = bracket and ":" in host and all(letter in "0123456789abcdefABCDEF:.%" for letter in host)
    else:
        host, colon, port = authority.partition(":")
        proper = host and _HOST_CHARACTERS.issuperset(host.replace("{region}", "region"))
        port = colon + port
    if not proper:
        raise UsageError(f"The address in {origin} has no host, or one that can't be.", _EXAMPLE)
    number = port[1:]
    if port and not (port[0] == ":" and number.isdigit() and len(number) < 6 and 0 < int(number) < 65536):
        raise UsageError(f"The address in {origin} has a port that can't be: {port!r}.", _EXAMPLE)
