"""Where calls go: regions and addresses out of arguments, environment and profiles."""

import os
import pathlib
import subprocess
import sys
from urllib.parse import urlsplit

import botocore.exceptions
import botocore.session
import pytest
from botocore.configprovider import ConfiguredEndpointProvider
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.cli import awsprofile
from outcrop.client.errors import ConfigFileError, UsageError
from outcrop.client.profiles import Files
from outcrop.client.settings import (
    find_addresses,
    find_ca_bundle,
    find_region,
    is_aws,
    overlooked_region,
    region_of,
)

LOCAL = "http://127.0.0.1:4000"
AWS = "https://bedrock-runtime.{region}.amazonaws.com"


@pytest.fixture
def home(tmp_path):
    """A home with two profiles: `default`, and `dev` with a region and addresses."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(
        "[default]\nregion = sa-east-1\nendpoint_url = http://never:1\n"
        "[profile dev]\nregion = eu-west-3\nendpoint_url = http://all:2/\nservices = s\nca_bundle = /ca.pem\n"
        "[services s]\nbedrock_runtime =\n  endpoint_url = http://runtime:3\nsts =\n  endpoint_url = http://sts:4\n"
        "[profile off]\nendpoint_url = http://all:2\nignore_configured_endpoint_urls = True\n"
    )
    return {"HOME": str(tmp_path)}


# ── the region ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("argument", "profile", "environ", "found"),
    [
        ("us-west-2", "dev", {"AWS_REGION": "eu-west-1"}, ("us-west-2", "the argument aws_region")),
        (None, "dev", {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "x"}, ("eu-west-1", "AWS_REGION")),
        (None, "dev", {"AWS_DEFAULT_REGION": "eu-west-2"}, ("eu-west-2", "AWS_DEFAULT_REGION")),
        (None, "dev", {"AWS_REGION": ""}, ("eu-west-3", "profile 'dev' in ~/.aws/config")),
        (None, None, {"AWS_PROFILE": "dev"}, ("eu-west-3", "profile 'dev' in ~/.aws/config")),
        (None, None, {"AWS_DEFAULT_PROFILE": "dev"}, ("eu-west-3", "profile 'dev' in ~/.aws/config")),
        (None, "off", {}, ("us-east-1", "the default")),
        # nobody names a profile, so the file does not count: the guide's rule
        (None, None, {}, ("us-east-1", "the default")),
        (None, "default", {}, ("sa-east-1", "profile 'default' in ~/.aws/config")),
        (None, None, {"AWS_REGION": "us-gov-west-1"}, ("us-gov-west-1", "AWS_REGION")),
    ],
)
def test_the_regions_order(home, argument, profile, environ, found):
    assert find_region(argument, profile, home | environ) == found


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("us-west-2 ", "Write us-west-2."),
        ("\tus-west-2\n", "Write us-west-2."),
        ("US-WEST-2", "Write us-west-2."),
        ('"us-west-2"', "Write us-west-2."),
        ("us_west_2", "Write us-west-2."),
        ("us-west-2b", "Write us-west-2."),
        ("oregon", "Regions are named like us-east-1 or eu-west-3."),
        ("us-west-2.evil.example", "Regions are named like us-east-1 or eu-west-3."),
        ("us-west-2/x", "Regions are named like us-east-1 or eu-west-3."),
    ],
)
def test_a_malformed_region_is_refused_with_what_was_meant(text, fix):
    for argument, environ, origin in (
        (text, {}, "the argument aws_region"),
        (None, {"AWS_REGION": text}, "AWS_REGION"),
        (None, {"AWS_DEFAULT_REGION": text}, "AWS_DEFAULT_REGION"),
    ):
        with pytest.raises(UsageError) as caught:
            find_region(argument, None, environ)
        assert caught.value.what == f"{text!r} is not a region's name ({origin})."
        assert caught.value.fix == fix


def test_an_empty_region_argument_is_refused():
    with pytest.raises(UsageError, match="the argument aws_region"):
        find_region("", None, {})


@pytest.mark.parametrize("given", [5, b"us-east-1", ["us-east-1"], 1.5, True])
def test_arguments_that_are_no_text_are_named_and_not_quoted(given):
    for name, find in (
        ("aws_region", lambda: find_region(given, None, {})),
        ("aws_profile", lambda: find_region(None, given, {})),
        ("aws_profile", lambda: find_addresses(None, given, {})),
        ("base_url", lambda: find_addresses(given, None, {})),
    ):
        with pytest.raises(
            UsageError, match=f"^{name} is a value of type {type(given).__name__}, "
        ) as caught:
            find()
        assert caught.value.fix
        assert "us-east-1" not in str(caught.value)


def test_a_region_that_only_the_default_profile_names_is_known_for_a_hint(home):
    files = Files(home)
    region = find_region(None, None, home, files)
    assert overlooked_region(region, None, home, files) == ""  # nobody has read the files
    files.profile("default")
    assert overlooked_region(region, None, home, files) == "sa-east-1"
    for other in (find_region("us-east-1", None, {}), find_region(None, None, {"AWS_REGION": "us-east-1"})):
        assert overlooked_region(other, None, home, files) == ""  # somebody chose it
    # who names a profile does not get the default one's region in boto3 either
    assert overlooked_region(region, "off", home, files) == ""
    assert overlooked_region(region, None, home | {"AWS_PROFILE": "off"}, files) == ""


@pytest.mark.parametrize(
    "text", ["", "[default]\n", "[default]\nregion = us-east-1\n", "[default]\nregion =\n  a = b\n"]
)
def test_no_hint_is_given_where_there_is_nothing_to_say(tmp_path, text):
    (tmp_path / "config").write_text(text)
    environ = {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": "/none"}
    files = Files(environ)
    files.profile("default")
    assert overlooked_region(find_region(None, None, environ), None, environ, files) == ""


def test_a_malformed_region_in_a_profile_names_the_file(tmp_path):
    (tmp_path / "config").write_text("[profile dev]\nregion = EU-WEST-3\n")
    with pytest.raises(UsageError, match="profile 'dev' in ") as caught:
        find_region(None, "dev", {"AWS_CONFIG_FILE": str(tmp_path / "config")})
    assert caught.value.fix == "Write eu-west-3."


@pytest.mark.parametrize(
    "find",
    [lambda *about: find_region(None, *about), lambda *about: find_addresses(None, *about), find_ca_bundle],
)
def test_a_profile_that_is_not_there_is_an_error(home, find):
    for profile, environ in (("prod", {}), (None, {"AWS_PROFILE": "prod"})):
        with pytest.raises(ConfigFileError, match="There is no profile 'prod'") as caught:
            find(profile, home | environ)
        assert caught.value.fix == "The profiles there are: default, dev, off."


# ── addresses ─────────────────────────────────────────────────────────────────────────────────────


def addresses(home, base_url=None, profile=None, **environ):
    found = find_addresses(base_url, profile, home | environ)
    return found.runtime, found.control, found.sts


def test_without_settings_they_are_awss(home):
    assert find_addresses(None, None, home) == (
        AWS,
        "https://bedrock.{region}.amazonaws.com",
        "https://sts.{region}.amazonaws.com",
        "the default",
        "the default",
        "the default",
    )


@pytest.mark.parametrize(
    ("region", "domain"),
    [
        ("eu-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("us-gov-west-1", "amazonaws.com"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eusc-de-east-1", "amazonaws.eu"),
    ],
)
def test_the_regions_partition_has_its_domain(region, domain):
    found = find_addresses(None, None, {}, region=region)
    assert found.runtime == f"https://bedrock-runtime.{{region}}.{domain}"
    assert found.sts == f"https://sts.{{region}}.{domain}"
    assert is_aws(found.control)


def test_the_domains_are_botocores():
    partitions = botocore.session.Session().get_component("data_loader").load_data("partitions")["partitions"]
    for partition in partitions:
        for region in partition["regions"]:
            if not region.endswith("-global"):
                found = find_addresses(None, None, {}, region=region)
                assert found.runtime.endswith("}." + partition["outputs"]["dnsSuffix"]), region


def test_the_runtimes_order(home):
    layers = {
        "AWS_ENDPOINT_URL": "http://global:1",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://own:2",
        "ANTHROPIC_BEDROCK_BASE_URL": "http://anthropic:3",
    }
    environ = {}
    assert find_addresses(None, "dev", home).runtime == "http://runtime:3"
    for variable, address in layers.items():
        environ[variable] = address
        found = find_addresses(None, "dev", home | environ)
        assert (found.runtime, found.runtime_origin) == (address, variable)
    found = find_addresses("http://argument:4", "dev", home | environ)
    assert (found.runtime, found.runtime_origin) == ("http://argument:4", "the argument base_url")


def test_the_others_go_by_their_own_variables_then_the_profile(home):
    assert addresses(home, profile="dev") == ("http://runtime:3", "http://all:2", "http://sts:4")
    found = find_addresses(None, "dev", home)
    assert found.control_origin == "profile 'dev' in ~/.aws/config"
    assert found.sts_origin == "services 's' in ~/.aws/config"
    assert addresses(
        home, profile="dev", AWS_ENDPOINT_URL_BEDROCK="http://b", AWS_ENDPOINT_URL_STS="http://s"
    ) == (
        "http://runtime:3",
        "http://b",
        "http://s",
    )
    assert addresses(home, AWS_ENDPOINT_URL="http://all") == ("http://all",) * 3


def test_the_default_profile_gives_no_address_unless_it_is_named(home):
    assert addresses(home)[0] == AWS
    assert addresses(home, AWS_PROFILE="default")[0] == "http://never:1"


@pytest.mark.parametrize(
    "base_url", [LOCAL, f"{LOCAL}/prefix/", "https://gateway.example", "http://[::1]:8080"]
)
def test_an_endpoint_of_ones_own_is_one_origin_for_all(base_url):
    assert addresses({}, base_url) == (base_url.rstrip("/"),) * 3
    assert addresses({}, ANTHROPIC_BEDROCK_BASE_URL=base_url) == (base_url.rstrip("/"),) * 3


@pytest.mark.parametrize(
    "base_url",
    [
        "https://bedrock-runtime-fips.us-east-1.amazonaws.com",
        "https://bedrock-runtime.{region}.api.aws",
        "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com:443",
    ],
)
def test_an_address_of_awss_leaves_the_other_services_where_they_are(base_url):
    assert addresses({}, base_url) == (base_url, *addresses({})[1:])


def test_a_host_that_only_looks_like_awss_is_not():
    assert not is_aws("https://amazonaws.com.example")
    assert not is_aws("https://notamazonaws.com")
    assert not is_aws("http://localhost/.amazonaws.com")


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("https://bedrock-runtime.us-east-1.amazonaws.com:443/prefix", "us-east-1"),
        ("https://Bedrock-Runtime.EU-West-1.AmazonAWS.com.", "eu-west-1"),
        ("https://bedrock.ap-northeast-1.amazonaws.com", "ap-northeast-1"),
        ("https://sts.eu-central-1.amazonaws.com", "eu-central-1"),
        ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://bedrock-fips.ca-central-1.amazonaws.com", "ca-central-1"),
        ("https://bedrock-runtime.eu-west-3.api.aws", "eu-west-3"),
        ("https://bedrock-runtime-fips.us-east-2.api.aws", "us-east-2"),
        ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("https://bedrock-runtime.cn-north-1.api.amazonwebservices.com.cn", "cn-north-1"),
        ("https://bedrock-runtime.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
        ("https://bedrock-runtime.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
        ("https://vpce-0a1b-2c3d.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("https://vpce-0a1b-2c3d-us-west-2a.bedrock-runtime.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("https://vpce-0a1b-2c3d.bedrock-runtime-fips.us-east-1.vpce.amazonaws.com", "us-east-1"),
        # none of AWS's: a gateway may lead anywhere
        ("http://localhost:4000", ""),
        ("http://[::1]:4000", ""),
        ("https://bedrock-runtime.us-east-1.amazonaws.com.example", ""),
        ("https://us-east-1.amazonaws.com", ""),
        ("https://abc.execute-api.us-east-1.amazonaws.com/prod", ""),
        ("https://lb-1.us-east-1.elb.amazonaws.com", ""),
        ("https://vpce-0a1b.execute-api.us-east-1.vpce.amazonaws.com", ""),
        ("https://x.bedrock-runtime.us-east-1.amazonaws.com", ""),
        ("https://gateway.example/bedrock-runtime.us-east-1.amazonaws.com", ""),
        ("https://sts.amazonaws.com", ""),
        (AWS, ""),  # whichever region is asked for
        ("", ""),
    ],
)
def test_the_region_in_a_host_of_awss(url, region):
    assert region_of(url) == region


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.text("htps:/.[]@awsmzon-1comvpe", max_size=40))
def test_any_text_has_a_region_or_none(text):
    assert isinstance(region_of(text), str)


def test_the_addresses_that_we_make_are_in_the_region_they_are_made_for():
    for region in botocore.session.Session().get_available_regions("bedrock-runtime"):
        found = find_addresses(None, None, {}, region=region)
        for url in (found.runtime, found.control, found.sts):
            assert region_of(url.replace("{region}", region)) == region


@pytest.mark.parametrize("module", ["httpx2", "httpx"])
def test_a_url_of_a_library_is_as_good_as_text(module):
    url = pytest.importorskip(module).URL("http://localhost:4000/prefix/")
    assert find_addresses(url, None, {}).runtime == "http://localhost:4000/prefix"
    assert find_addresses(urlsplit("http://localhost:4000/"), None, {}).runtime == LOCAL.replace(
        "127.0.0.1", "localhost"
    )
    with pytest.raises(UsageError, match="is a value of type PosixPath"):
        find_addresses(pathlib.Path("http://localhost:4000"), None, {})


MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.mark.parametrize(
    ("prefix", "call"),
    [
        ("http://localhost:4000", "/v1/messages"),
        ("https://gateway.example/team/a", "/v1/messages"),
        ("http://localhost:4000", "/v1/messages/count_tokens"),
        ("http://localhost:4000", "/v1/chat/completions"),
        ("http://localhost:4000", f"/model/{MODEL}/invoke"),
        ("http://localhost:4000", f"/model/{MODEL.replace(':', '%3A')}/converse-stream"),
        ("http://localhost:4000/model/x", f"/model/{MODEL}"),
        ("http://localhost:4000", "/foundation-models"),
    ],
)
def test_an_address_that_ends_in_a_calls_path_is_to_be_cut(prefix, call):
    for slash in ("", "/"):
        for origin, base_url, environ in (
            ("the argument base_url", prefix + call + slash, {}),
            ("AWS_ENDPOINT_URL", None, {"AWS_ENDPOINT_URL": prefix + call + slash}),
        ):
            with pytest.raises(UsageError) as caught:
                find_addresses(base_url, None, environ)
            assert caught.value.what.startswith(f"The address in {origin} ends in {call}, ")
            assert caught.value.fix == f"Cut that off: {prefix}"


@pytest.mark.parametrize("path", ["/v1", "/model", "/models", "/model/team-a", "/v1/messages/x", "/messages"])
def test_other_paths_may_be_somebodys_prefix(path):
    assert find_addresses(LOCAL + path, None, {}).runtime == LOCAL + path


def test_configured_addresses_can_be_switched_off(home):
    off = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE", "AWS_ENDPOINT_URL": "http://all"}
    assert addresses(home, profile="dev", **off)[0] == AWS
    assert addresses(home, profile="off", AWS_ENDPOINT_URL="http://all")[0] == AWS
    on = {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false", "AWS_ENDPOINT_URL": "http://all"}
    assert addresses(home, profile="off", **on)[0] == "http://all"
    # which is about the settings of AWS's SDKs, not of ours
    assert addresses(home, ANTHROPIC_BEDROCK_BASE_URL=LOCAL, **off) == (LOCAL,) * 3
    assert addresses(home, LOCAL, **off) == (LOCAL,) * 3


def test_slashes_at_the_end_are_cut_and_prefixes_kept():
    for text, base in (
        ("http://h/", "http://h"),
        ("http://h//", "http://h"),
        ("HTTPS://h:1/a/b%3Ac/", "https://h:1/a/b%3Ac"),
    ):
        assert find_addresses(text, None, {}).runtime == base


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("localhost:4000", "begins with neither http:// nor https://"),
        ("ftp://h", "begins with neither"),
        ("", "begins with neither"),
        ("http://", "has no host"),
        ("http:///path", "has no host"),
        ("http://:4000", "has no host"),
        ("http://a b", "holds a blank"),
        ("http://h\r\nx: y", "holds a blank"),
        (" http://h", "holds a blank"),
        ("http://h ", "holds a blank"),
        ("http://h\xf6st", "holds a blank"),
        ("http://user:s3cret@h", "holds a user name or a password"),
        ("http://user:s3/cret@h", "holds a user name or a password"),
        ("http://h?key=s3cret", "has a query or a fragment"),
        ("http://h/p#s3cret", "has a query or a fragment"),
        ("http://h:port", "has a port that can't be"),
        ("http://h:", "has a port that can't be"),
        ("http://h:65536", "has a port that can't be"),
        ("http://h:0", "has a port that can't be"),
        ("http://[::1]x", "has a port that can't be"),
        ("http://[::1", "has no host"),
        ("http://h\\x", "has no host"),
        ("http://{host}", "has no host"),
    ],
)
def test_what_is_no_address_is_refused_by_its_origin(text, part):
    origins = {"the argument base_url": (text, {})}
    for variable in (
        "ANTHROPIC_BEDROCK_BASE_URL",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME",
        "AWS_ENDPOINT_URL_STS",
    ):
        if text:
            origins[variable] = (None, {variable: text})
    for origin, (base_url, environ) in origins.items():
        with pytest.raises(UsageError) as caught:
            find_addresses(base_url, None, environ)
        assert caught.value.what.startswith(f"The address in {origin} ")
        assert part in caught.value.what
        assert caught.value.fix
        assert "s3" not in str(caught.value)


def test_the_profile_that_outcrop_env_writes_leads_to_the_endpoint(tmp_path):
    (tmp_path / ".aws").mkdir()
    config = awsprofile.config_with("", "outcrop", LOCAL, "us-west-2", "/data/bundle.pem")
    (tmp_path / ".aws" / "config").write_text(config)
    (tmp_path / ".aws" / "credentials").write_text(
        awsprofile.credentials_with("", "outcrop", "AKIA", "s", ())
    )
    environ = {"HOME": str(tmp_path)}
    files = Files(environ)
    assert find_region(None, "outcrop", environ, files).name == "us-west-2"
    assert find_addresses(None, "outcrop", environ, files)[:3] == (LOCAL,) * 3
    assert find_ca_bundle("outcrop", environ, files) == (
        "/data/bundle.pem",
        "ca_bundle of profile 'outcrop' in ~/.aws/config",
    )


def test_the_bundle_of_a_named_profile(home):
    assert find_ca_bundle("dev", home) == ("/ca.pem", "ca_bundle of profile 'dev' in ~/.aws/config")
    assert find_ca_bundle("dev", home | {"AWS_CA_BUNDLE": "/other.pem"}) == ("", "")
    assert find_ca_bundle("off", home) == ("", "")
    assert find_ca_bundle(None, home) == ("", "")


def test_shared_files_are_read_once(home):
    files = Files(home)
    assert find_region(None, "dev", home, files).name == "eu-west-3"
    os.remove(f"{home['HOME']}/.aws/config")
    assert find_addresses(None, "dev", home, files).runtime == "http://runtime:3"


# ── botocore as the oracle ────────────────────────────────────────────────────────────────────────

URL = st.sampled_from([None, "", "http://one", "http://two"])
DEFAULT = find_addresses(None, None, {})
KEYS = {"bedrock": "control", "bedrock_runtime": "runtime", "sts": "sts"}


def write_config(path, draw, section, ignore):
    """A profile `p` with drawn addresses, of its own and in a services section."""
    settings_of_it = {
        "services": section,
        "endpoint_url": draw(URL),
        "ignore_configured_endpoint_urls": ignore,
    }
    lines = ["[profile p]"]
    lines += [f"{key} = {value}" for key, value in settings_of_it.items() if value is not None]
    lines += ["[services s]", "s3 =", "  a = b"]
    for key in KEYS:
        if (value := draw(URL)) is not None:
            lines += [f"{key} =", f"  endpoint_url = {value}"]
    path.write_text("\n".join(lines))


def botocores(environ, key):
    """What botocore finds for a service: an address, None, or an error."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in environ.items():
            patch.setenv(name, value)
        session = botocore.session.Session(profile="p")
        if session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        provider = ConfiguredEndpointProvider(
            session.full_config, session.get_scoped_config(), key.replace("_", "-")
        )
        try:
            return provider.provide()
        except botocore.exceptions.InvalidConfigError as error:
            return error


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.data(),
    section=st.sampled_from(["s", "missing", None]),
    ignore=st.sampled_from([None, "true", "false", "yes", ""]),
    ignore_in_profile=st.sampled_from([None, "true", "False"]),
)
def test_addresses_are_found_where_botocore_finds_them(tmp_path, data, section, ignore, ignore_in_profile):
    write_config(tmp_path / "config", data.draw, section, ignore_in_profile)
    names = ["AWS_ENDPOINT_URL", *(f"AWS_ENDPOINT_URL_{key.upper()}" for key in KEYS)]
    drawn = {name: data.draw(URL) for name in names} | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": ignore}
    environ = {name: value for name, value in drawn.items() if value is not None}
    environ |= {"AWS_CONFIG_FILE": str(tmp_path / "config"), "AWS_SHARED_CREDENTIALS_FILE": ""}
    theirs = {name: botocores(environ, key) for key, name in KEYS.items()}
    if any(isinstance(address, Exception) for address in theirs.values()):
        with pytest.raises(ConfigFileError):
            find_addresses(None, "p", environ)
        return
    found = find_addresses(None, "p", environ)
    for name, address in theirs.items():
        # what botocore does not know is AWS's, or at the runtime's address
        assert getattr(found, name) == (
            address or (found.runtime if theirs["runtime"] else getattr(DEFAULT, name))
        )


# ── what it costs to import ───────────────────────────────────────────────────────────────────────

HEAVY = {"configparser", "shlex", "botocore", "threading", "asyncio", "ssl", "logging", "email", "json"}
HEAVY |= {"ipaddress", "urllib"}
PROGRAM = f"""
import sys, msgspec, os
before = set(sys.modules)
from outcrop.client.credentials import find_source
from outcrop.client.settings import find_addresses, find_region
environ = dict(AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s", HOME=os.devnull)
find_region(None, None, environ), find_addresses("{LOCAL}", None, environ)
for keys in ("AKIA", "s"), (None, None):
    source = find_source(access_key=keys[0], secret_key=keys[1], session_token=None, api_key=None,
                         profile=None, environ=environ, region="us-east-1")
    assert source.fixed and source.get().access_key == "AKIA"
print(*sorted(set(sys.modules) - before))
"""


def test_keys_from_arguments_and_environment_import_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()).isdisjoint(HEAVY)
