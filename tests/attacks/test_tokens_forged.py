"""A token counts only when a key that its issuer publishes for this very use signed it with an allowed algorithm."""

import hashlib
import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.issuer_server import World
from tests.roca import computable_key
from tests.tokens import ABSENT, TokenIssuer, base64url, encode, private_key, public_jwk, signer
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


@pytest.fixture
async def issuer(world):
    return await world.issuer(algorithm="RS256")


@pytest.fixture
async def identity(world, issuer):
    return await world.identity([issuer], started=False)


async def reason(world, identity, token):
    outcome = await world.ask(identity, b"Bearer " + token)
    return None if isinstance(outcome, Identified) else outcome.reason


@pytest.mark.parametrize("word", ["none", "None", "NONE", ""])
async def test_no_signature(world, issuer, identity, word):
    token = encode(issuer.tokens.head(alg=word), issuer.tokens.claims(), lambda _: b"")
    assert await reason(world, identity, token) is Reason.TOKEN_ALGORITHM_REFUSED


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
async def test_the_public_key_as_hmac_secret(world, issuer, identity, encoding):
    secret = issuer.tokens.key.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)

    def sign(data):
        import hmac

        return hmac.digest(secret, data, hashlib.sha256)

    token = encode(issuer.tokens.head(alg="HS256"), issuer.tokens.claims(), sign)
    assert await reason(world, identity, token) is Reason.TOKEN_ALGORITHM_REFUSED


async def test_an_algorithm_that_is_not_allowed_for_its_issuer(world, issuer, identity):
    token = encode(issuer.tokens.head(alg="PS256"), issuer.tokens.claims(), signer("PS256", issuer.tokens.key))
    assert await reason(world, identity, token) is Reason.TOKEN_ALGORITHM_REFUSED


async def test_an_algorithm_of_another_key_type(world, issuer, identity):
    forger = private_key("ES256", "forger")
    token = encode(issuer.tokens.head(alg="ES256"), issuer.tokens.claims(), signer("ES256", forger))
    assert await reason(world, identity, token) is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
async def test_a_key_that_the_token_brings_along(world, issuer, identity, name):
    forger = TokenIssuer(issuer.url, kid="forger", now=lambda: world.clock.wall)
    brought = {"jwk": forger.jwk(), "jku": issuer.url + "/evil", "x5u": issuer.url + "/evil", "x5c": ["AAAA"]}[name]
    for signing in (forger, issuer.tokens):
        token = signing.token(header={name: brought, "kid": "key-1"})
        assert await reason(world, identity, token) is Reason.TOKEN_MALFORMED
    assert issuer.asked == []


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"b64": True}])
async def test_extensions_that_must_be_understood(world, issuer, identity, header):
    assert await reason(world, identity, issuer.tokens.token(header=header)) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("kind", ["logout+jwt", "secevent+jwt", "dpop+jwt", "JWS", "", None, 1, ["JWT"]])
async def test_a_token_of_another_kind(world, issuer, identity, kind):
    assert await reason(world, identity, issuer.tokens.token(header={"typ": kind})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("kind", [ABSENT, "JWT", "jwt", "at+jwt", "application/at+jwt"])
async def test_a_bearer_token_of_any_usual_kind(world, issuer, identity, kind):
    assert await reason(world, identity, issuer.tokens.token(header={"typ": kind})) is None


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"alg": "PS256"},
        {"alg": "ES256"},
        {"alg": 5},
        {"use": ["sig"]},
        {"d": "AQAB"},
    ],
)
async def test_a_key_that_is_for_something_else(world, issuer, identity, members):
    issuer.keys = [issuer.tokens.jwk(**members)]
    assert await reason(world, identity, issuer.tokens.token()) is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("members", [{}, {"use": "enc"}, {"n": "AQAB"}], ids=["key", "encryption", "weak"])
async def test_two_keys_with_one_id(world, issuer, identity, order, members):
    other = public_jwk(private_key("RS256", "other"), kid="key-1") | members
    issuer.keys = [issuer.tokens.jwk(), other][::order]
    assert await reason(world, identity, issuer.tokens.token()) is Reason.TOKEN_KEY_UNKNOWN


async def test_keys_of_two_types_may_share_an_id(world, issuer, identity):
    issuer.keys = [issuer.tokens.jwk(), public_jwk(private_key("ES256", "other"), kid="key-1")]
    assert await reason(world, identity, issuer.tokens.token()) is None


@pytest.mark.slow
async def test_a_weak_key(world, issuer, identity):
    issuer.tokens.key = private_key("RS256", "weak", 1024)
    assert await reason(world, identity, issuer.tokens.token()) is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.slow
async def test_a_key_that_can_be_computed(world, issuer, identity):
    issuer.tokens.key = computable_key()
    assert await reason(world, identity, issuer.tokens.token()) is Reason.TOKEN_KEY_UNKNOWN


@pytest.mark.parametrize("kid", ["", "x" * 1025, 1, None, ["key-1"], "key\n1"])
async def test_a_key_id_that_is_no_name(world, issuer, identity, kid):
    assert await reason(world, identity, issuer.tokens.token(header={"kid": kid})) is Reason.TOKEN_MALFORMED


async def test_without_a_key_id_only_where_one_key_can_be_meant(world, issuer, identity):
    token = issuer.tokens.token(header={"kid": ABSENT})
    assert await reason(world, identity, token) is None
    issuer.keys = [issuer.tokens.jwk(), public_jwk(private_key("RS256", "other"), kid="other")]
    world.clock.advance(301)
    later = issuer.tokens.token(header={"kid": ABSENT})
    identity = await world.identity([issuer], started=False)
    assert await reason(world, identity, later) is Reason.TOKEN_KEY_UNKNOWN


async def test_a_changed_payload(world, issuer, identity):
    head, _, signature = issuer.tokens.token().split(b".")
    payload = base64url(json.dumps(issuer.tokens.claims(sub="root")).encode())
    assert await reason(world, identity, b".".join((head, payload, signature))) is Reason.TOKEN_SIGNATURE_INVALID


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_signature_cut_short_or_empty(world, algorithm):
    issuer = await world.issuer(algorithm=algorithm)
    identity = await world.identity([issuer], started=False)
    signed = issuer.tokens.token().rpartition(b".")
    for signature in (b"", b"AA", base64url(bytes(64)), base64url(bytes(256)), base64url(b"\xff" * 4096)):
        assert await reason(world, identity, signed[0] + b"." + signature) is Reason.TOKEN_SIGNATURE_INVALID


async def test_an_issuer_that_nobody_configured(world, issuer, identity):
    for name in ("https://evil.test", issuer.url + "/", issuer.url.upper(), issuer.url + "\u200b"):
        assert await reason(world, identity, issuer.tokens.token(iss=name)) is Reason.TOKEN_ISSUER_UNKNOWN
    assert issuer.asked == []


async def test_one_issuers_key_signs_for_no_other(world, issuer):
    other = await world.issuer(kid="key-2")
    identity = await world.identity([issuer, other])
    token = other.tokens.token(iss=issuer.url)
    assert await reason(world, identity, token) is Reason.TOKEN_KEY_UNKNOWN
