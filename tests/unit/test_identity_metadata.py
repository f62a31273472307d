import json

import pytest

from ztproxy.identity.issuers.metadata import MAXIMUM_NAMES, Metadata, is_https, read_metadata, write_metadata
from ztproxy.identity.strict_json import MalformedError

ISSUER = "https://login.test/tenant"
WHOLE = {
    "issuer": ISSUER,
    "jwks_uri": "https://login.test/keys",
    "authorization_endpoint": "https://login.test/authorize?tenant=1",
    "token_endpoint": "https://login.test/token",
    "end_session_endpoint": "https://login.test/logout",
    "introspection_endpoint": "https://login.test/introspect",
    "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.login.test/token", "unknown": 7},
    "authorization_response_iss_parameter_supported": True,
    "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_post"],
    "code_challenge_methods_supported": ["S256"],
    "a_member_that_nobody_knows": {"registration": ["http://elsewhere"]},
}


def read(**changes):
    return read_metadata(json.dumps(WHOLE | changes).encode(), ISSUER)


def test_what_is_known_is_read_and_the_rest_left_alone():
    metadata = read()
    assert metadata.authorization_endpoint == "https://login.test/authorize?tenant=1"
    assert metadata.token_endpoint_auth_methods_supported == ("private_key_jwt", "client_secret_post")
    assert metadata.code_challenge_methods_supported == ("S256",)
    assert metadata.authorization_response_iss_parameter_supported
    assert not metadata.backchannel_logout_supported
    assert metadata.userinfo_endpoint is None


def test_what_it_does_not_say_is_what_the_specification_says():
    bare = read_metadata(json.dumps({"issuer": ISSUER}).encode(), ISSUER)
    assert bare == Metadata(issuer=ISSUER)
    assert bare.token_endpoint_auth_methods_supported == ("client_secret_basic",)
    assert not bare.authorization_response_iss_parameter_supported


def test_an_endpoint_for_clients_with_certificates():
    metadata = read()
    assert metadata.endpoint("token_endpoint") == "https://login.test/token"
    assert metadata.endpoint("token_endpoint", by_certificate=True) == "https://mtls.login.test/token"
    assert metadata.endpoint("introspection_endpoint", by_certificate=True) == "https://login.test/introspect"
    assert metadata.endpoint("userinfo_endpoint") is None


def test_it_is_the_same_after_it_was_written_down():
    metadata = read()
    assert read_metadata(json.dumps(write_metadata(metadata)).encode(), ISSUER) == metadata


def test_null_names_nothing():
    assert read(end_session_endpoint=None, code_challenge_methods_supported=None).end_session_endpoint is None


@pytest.mark.parametrize(
    "issuer", [ISSUER + "/", ISSUER.upper(), "https://login.test", "http://login.test/tenant", None, [ISSUER], ""]
)
def test_another_issuer(issuer):
    with pytest.raises(MalformedError, match="another issuer"):
        read(issuer=issuer)


@pytest.mark.parametrize("name", ["jwks_uri", "authorization_endpoint", "token_endpoint", "introspection_endpoint"])
@pytest.mark.parametrize(
    "url",
    [
        "http://login.test/x",
        "https:///x",
        "https://",
        "//login.test/x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://user@login.test/x",
        "https://login.test/x#fragment",
        "https://login.test/x\r\nSet-Cookie: a=b",
        "https://login.test/x\n",
        "https://login.test/\tx",
        "https://login.test\\@evil.test/x",
        'https://login.test/"x',
        "https://login.test:0/x",
        "https://login.test:99999/x",
        "https://[login/x",
        "https://logïn.test/x",
        "https://login.test/" + "x" * 2048,
        7,
        True,
        ["https://login.test/x"],
        {},
    ],
)
def test_an_endpoint_that_will_not_do_spoils_it_all(name, url):
    with pytest.raises(MalformedError, match=name):
        read(**{name: url})


@pytest.mark.parametrize(
    "change",
    [
        {"authorization_response_iss_parameter_supported": "true"},
        {"authorization_response_iss_parameter_supported": 1},
        {"token_endpoint_auth_methods_supported": "private_key_jwt"},
        {"token_endpoint_auth_methods_supported": [1]},
        {"token_endpoint_auth_methods_supported": ["a\nb"]},
        {"scopes_supported": [str(number) for number in range(MAXIMUM_NAMES + 1)]},
        {"mtls_endpoint_aliases": ["https://login.test/token"]},
        {"mtls_endpoint_aliases": {"token_endpoint": "http://login.test/token"}},
    ],
)
def test_a_member_of_the_wrong_kind_spoils_it_all(change):
    with pytest.raises(MalformedError, match=next(iter(change)).replace("mtls_endpoint_aliases", "mtls|token")):
        read(**change)


@pytest.mark.parametrize("document", [b"", b"[]", b"nonsense", b'{"issuer":"a","issuer":"b"}', b"[" * 100_000])
def test_what_is_no_document(document):
    with pytest.raises(MalformedError):
        read_metadata(document, ISSUER)


@pytest.mark.parametrize(
    "url", ["http://a.test", "https://", "https://u@a.test", "https://a.test/#x", "https://[", "", "https://a:x/"]
)
def test_what_is_no_https_url(url):
    assert not is_https(url)
