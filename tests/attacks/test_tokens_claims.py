"""A well-signed token counts only for the audience, the time and the certificate that it was made for."""

import json
import time

import pytest

from tests.issuer_server import World
from tests.pki import Authority
from tests.tokens import ABSENT, confirmation, encode
from ztproxy.identity import describe
from ztproxy.model import Identified, Reason

ROOT = Authority.new()
NOW = 1_800_000_000


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        yield world


@pytest.fixture
async def issuer(world):
    return await world.issuer()


@pytest.fixture
async def identity(world, issuer):
    return await world.identity([issuer], started=False)


async def reason(world, identity, token, **options):
    outcome = await world.ask(identity, b"Bearer " + token, **options)
    return None if isinstance(outcome, Identified) else outcome.reason


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp"])
@pytest.mark.parametrize("value", [ABSENT, None, "", 0.5, True, {}, [], [""], ["ztproxy", 1], [["ztproxy"]], "a\x00b"])
async def test_a_required_claim_absent_or_of_the_wrong_type(world, issuer, identity, name, value):
    found = await reason(world, identity, issuer.tokens.token(**{name: value}))
    expected = Reason.TOKEN_EXPIRED if (name, value) == ("exp", 0.5) else Reason.TOKEN_MALFORMED
    assert found is expected


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1800003600", "x", -1, 1e300, 253402300800, 2**63, True, None, [NOW], "now"])
async def test_a_time_that_is_no_date(world, issuer, identity, name, value):
    assert await reason(world, identity, issuer.tokens.token(**{name: value})) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"-Infinity", b"9" * 5000, b"1" * 21])
@pytest.mark.parametrize("name", ["exp", "anything"])
async def test_a_number_without_bounds(world, issuer, identity, name, number):
    payload = json.dumps(issuer.tokens.claims(**{name: "HERE"})).encode().replace(b'"HERE"', number)
    token = encode(issuer.tokens.head(), payload, issuer.tokens.sign)
    assert await reason(world, identity, token) is Reason.TOKEN_MALFORMED


@pytest.mark.parametrize("audience", ["other", ["other", "ztproxy2"], "ZTPROXY", "ztproxy ", ["https://ztproxy"]])
async def test_another_audience(world, issuer, identity, audience):
    assert await reason(world, identity, issuer.tokens.token(aud=audience)) is Reason.TOKEN_AUDIENCE_MISMATCH


async def test_times_with_leeway(world, issuer, identity):
    tokens = issuer.tokens
    assert await reason(world, identity, tokens.token(exp=NOW - 29)) is None
    assert await reason(world, identity, tokens.token(exp=NOW - 30)) is Reason.TOKEN_EXPIRED
    assert await reason(world, identity, tokens.token(nbf=NOW + 30)) is None
    assert await reason(world, identity, tokens.token(nbf=NOW + 31)) is Reason.TOKEN_NOT_YET_VALID
    assert await reason(world, identity, tokens.token(iat=NOW + 30)) is None
    assert await reason(world, identity, tokens.token(iat=NOW + 31)) is Reason.TOKEN_NOT_YET_VALID
    assert await reason(world, identity, tokens.token(iat=ABSENT)) is None


async def test_a_subject_that_could_forge_a_line(world, issuer, identity):
    for subject in ("a\nb", "a\x1b[2J", "\u2028", "x" * 1025):
        assert await reason(world, identity, issuer.tokens.token(sub=subject)) is Reason.TOKEN_MALFORMED


async def test_a_bound_token_needs_its_certificate(tmp_path, world, issuer):
    world.clock.wall = time.time()
    mine, theirs = (describe((ROOT.issue(name).der, ROOT.der)) for name in ("mine", "theirs"))
    certificate, key = ROOT.server().write(tmp_path, "server")
    listener = {
        "address": "127.0.0.1:8080",
        "certificates": [{"certificate": certificate, "key": key}],
        "client_certificates": {"authorities": [ROOT.write(tmp_path)], "mode": "optional"},
    }
    identity = await world.build(world.settings([world.trust(issuer)], listeners=[listener]))
    token = issuer.tokens.token(cnf=confirmation(mine.der))
    identified = await world.ask(identity, b"Bearer " + token, certificate=mine)
    assert identified.token.bound_to == mine.fingerprint
    further = issuer.tokens.token(cnf=confirmation(mine.der) | {"jkt": "x"})
    assert await reason(world, identity, further, certificate=mine) is Reason.TOKEN_BINDING_MISMATCH
    for certificate in (theirs, None):  # also now that it is remembered
        assert await reason(world, identity, token, certificate=certificate) is Reason.TOKEN_BINDING_MISMATCH


@pytest.mark.parametrize(
    "binding",
    [
        None,
        {},
        [],
        "x",
        {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
        {"jwk": {}},
        {"x5t#S256": ""},
        {"x5t#S256": 1},
        {"x5t#S256": "é"},
        {"x5t#S256": "AAAA"},
        {"x5t#S256": "A" * 43, "jkt": "x"},
        {"kid": "A" * 43},
        {"x5t#S512": "A" * 43},
        {"jkt": "A" * 43, "kid": "A" * 43},
    ],
)
async def test_a_binding_that_cannot_be_checked_does_not_hold(world, issuer, identity, binding):
    assert await reason(world, identity, issuer.tokens.token(cnf=binding)) is Reason.TOKEN_BINDING_MISMATCH
