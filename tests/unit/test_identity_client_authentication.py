"""How we show an issuer which client we are, as the issuer would read it: real keys, real TLS."""

import base64
import json
import ssl
from pathlib import Path
from urllib.parse import unquote_plus

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pydantic import ValidationError

from tests.issuer_server import World
from tests.pki import key_pem, self_signed
from ztproxy.config.clients import OAuthClient
from ztproxy.identity import IdentityConfigError
from ztproxy.identity.certificates.authorities import trust_in
from ztproxy.identity.issuers.client_authentication import ASSERTION_TYPE, ClientAuthentication
from ztproxy.identity.issuers.fetching import Fetcher, FetchError

ISSUER = "https://login.test"
ENDPOINT = "https://login.test/token"
NOW = 1_800_000_000.5
KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret"
    path.write_text("päss:w rd+%\n")
    return path


def built(**client):
    return ClientAuthentication.build(OAuthClient.model_validate({"client_id": "a:b c"} | client), ISSUER, "login")


def key_file(folder, key):
    path = Path(folder, "client.key")
    path.write_bytes(key_pem(key))
    return path


def test_basic_encodes_both_parts(secret):
    client = built(client_secret={"file": secret})
    shown = client.show(ENDPOINT, NOW)
    scheme, _, pair = shown.headers["Authorization"].partition(" ")
    name, colon, word = base64.b64decode(pair).decode().partition(":")
    assert (scheme, colon, unquote_plus(name), unquote_plus(word)) == ("Basic", ":", "a:b c", "päss:w rd+%")
    assert not shown.form
    assert client.method == "client_secret_basic"


def test_post_says_both_in_the_form(secret):
    shown = built(client_secret={"file": secret}, client_authentication="client_secret_post").show(ENDPOINT, NOW)
    assert shown.form == {"client_id": "a:b c", "client_secret": "päss:w rd+%"}
    assert not shown.headers


def test_a_public_client_says_its_name_alone():
    shown = built(client_authentication="none").show(ENDPOINT, NOW)
    assert (shown.form, shown.headers) == ({"client_id": "a:b c"}, {})


@pytest.mark.parametrize("algorithm", KEYS)
def test_an_assertion_is_for_this_issuer_for_a_minute_and_once(tmp_path, algorithm):
    client = built(client_key=key_file(tmp_path, KEYS[algorithm]), client_key_id="k1")
    shown = client.show(ENDPOINT, NOW)
    assert shown.form["client_assertion_type"] == ASSERTION_TYPE
    assertion = shown.form["client_assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(assertion, KEYS[algorithm].public_key(), [algorithm], audience=ISSUER, options=options)
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("a:b c", "a:b c", ISSUER)
    assert claims["iat"] <= NOW < claims["exp"] <= NOW + 60
    again = client.show(ENDPOINT, NOW).form["client_assertion"]
    assert jwt.decode(again, options={"verify_signature": False})["jti"] != claims["jti"]


def test_an_assertion_for_the_endpoint_and_with_another_algorithm_where_it_is_said(tmp_path):
    path = key_file(tmp_path, KEYS["RS256"])
    client = built(client_key=path, client_assertion_audience="endpoint", client_algorithm="PS256")
    assertion = client.show(ENDPOINT, NOW).form["client_assertion"]
    assert jwt.get_unverified_header(assertion) == {"alg": "PS256", "typ": "JWT"}
    assert jwt.decode(assertion, options={"verify_signature": False})["aud"] == ENDPOINT


async def test_a_certificate_is_shown_in_the_handshake(tmp_path):
    async with World(tmp_path) as world:
        issuer = await world.issuer()
        issuer._context.verify_mode = ssl.CERT_REQUIRED
        issuer._context.load_verify_locations(world.authority_file)

        async def answer(request):
            subject = request.transport.get_extra_info("peercert")["subject"]
            return web.json_response({"subject": subject, "form": dict(await request.post())})

        issuer.answers["/token"] = answer
        certificate, key = world.authority.issue("proxy").write(tmp_path, "proxy")
        client = built(client_key=key, client_certificate=certificate)
        assert client.method == "tls_client_auth"
        assert client.by_certificate
        shown = client.show(issuer.url + "/token", NOW)
        assert (shown.form, shown.headers) == ({"client_id": "a:b c"}, {})
        fetcher = Fetcher(trust_in((world.authority_file,), "key", client.certificate))
        said = await fetcher.post(issuer.url + "/token", shown.form, shown.headers)
        assert json.loads(said.body) == {"subject": [[["commonName", "proxy"]]], "form": {"client_id": "a:b c"}}
        bare = Fetcher(trust_in((world.authority_file,), "key"))
        with pytest.raises(FetchError):
            await bare.post(issuer.url + "/token", shown.form, shown.headers)


@pytest.mark.parametrize(
    ("client", "wrong"),
    [
        ({}, "client_authentication: none"),
        ({"client_authentication": "client_secret_post"}, "needs `client_secret`"),
        ({"client_authentication": "tls_client_auth"}, "needs `client_certificate` and `client_key`"),
        ({"client_authentication": "private_key_jwt"}, "needs `client_key`"),
        ({"client_authentication": "none", "client_secret": {"env": "X"}}, "has no use for `client_secret`"),
        ({"client_secret": {"env": "X"}, "client_key_id": "k"}, "belong to private_key_jwt"),
        ({"client_authentication": "none", "client_id": ""}, "client_id"),
        ({"client_authentication": "none", "client_id": "a\nb"}, "client_id"),
        ({"client_authentication": "client_secret_jwt", "client_secret": {"env": "X"}}, "client_authentication"),
    ],
)
def test_what_does_not_go_together(client, wrong):
    with pytest.raises(ValidationError, match=wrong):
        OAuthClient.model_validate({"client_id": "c"} | client)


@pytest.mark.parametrize("content", ["", "\n", "a\nb\n", "a\x00"])
def test_a_secret_that_is_none(tmp_path, content):
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(IdentityConfigError, match=r"login\.client_secret"):
        built(client_secret={"file": path})


def test_a_secret_that_is_not_there():
    with pytest.raises(IdentityConfigError, match="ZTPROXY_TEST_NO_SUCH_NAME"):
        built(client_secret={"env": "ZTPROXY_TEST_NO_SUCH_NAME"})


@pytest.mark.parametrize("kind", ["weak", "encrypted", "certificate", "curve", "algorithm"])
def test_a_key_that_will_not_do(tmp_path, kind):
    path = key_file(tmp_path, KEYS["ES256"])
    options = {}
    match kind:
        case "weak":
            path = key_file(tmp_path, rsa.generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505 - that is the case
        case "encrypted":
            locked = serialization.BestAvailableEncryption(b"x")
            pem = KEYS["ES256"].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
            path.write_bytes(pem)
        case "certificate":
            path = self_signed().write(tmp_path)[0]
        case "curve":
            path = key_file(tmp_path, ec.generate_private_key(ec.SECP256K1()))
        case "algorithm":
            options = {"client_algorithm": "PS256"}
    with pytest.raises(IdentityConfigError, match=r"login\.client_key"):
        built(client_key=path, **options)


def test_a_certificate_with_another_key_stops_the_start(tmp_path):
    certificate, _ = self_signed().write(tmp_path, "one")
    _, key = self_signed().write(tmp_path, "other")
    with pytest.raises(IdentityConfigError, match="unusable"):
        trust_in((), "login", (str(certificate), str(key)))


async def test_a_connection_that_was_closed_while_it_was_kept_is_made_anew(tmp_path):
    async with World(tmp_path) as world:
        issuer = await world.issuer()

        used, asked = set(), []

        async def answer(request):
            asked.append(dict(await request.post()))
            if request.transport in used:  # as a server does whose patience with an idle connection has ended
                request.transport.abort()
            used.add(request.transport)
            return web.json_response(asked[-1])

        issuer.answers["/x"] = answer
        fetcher = Fetcher(trust_in((world.authority_file,), "key"), kept_open=2)
        for number in range(3):
            said = await fetcher.post(issuer.url + "/x", {"n": str(number)}, {})
            assert json.loads(said.body) == {"n": str(number)}
            assert len(used) == number + 1
        await fetcher.close()
        assert len(asked) == 5
