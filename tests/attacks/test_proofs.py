"""A token that is bound to a key counts with a proof of that key, made for this request and for this token, once."""

import hashlib

import msgspec
import pytest

from tests.issuer_server import World
from tests.proofs import Holder
from tests.tokens import ABSENT, base64url, private_key, public_jwk, signer
from ztproxy.model import Identified, Reason


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        world.issuer_server = await world.issuer()
        world.holder = Holder(now=lambda: world.clock.wall)
        world.token = world.issuer_server.tokens.token(cnf=world.holder.confirmation)
        yield world


async def identity_of(world, route=None, issuer=None, **dpop):
    trust = world.trust(world.issuer_server, **(issuer or {}))
    return await world.build(world.settings([trust], dpop=dpop, routes=[world.route(**(route or {}))]))


@pytest.fixture
async def identity(world):
    return await identity_of(world)


async def ask(world, identity, *proofs, token=None, under=b"DPoP", **request):
    presented = under + b" " + (world.token if token is None else token)
    return await world.ask(identity, presented, unverified_proofs=proofs, **request)


async def refused(world, identity, *proofs, **request):
    """The reason and the detail."""
    outcome = await ask(world, identity, *proofs, **request)
    assert not isinstance(outcome, Identified)
    return outcome.reason, outcome.detail


async def test_a_proof_lets_in(world, identity):
    outcome = await ask(world, identity, world.holder.proof(world.token))
    assert outcome.token.subject == "alice"
    assert outcome.token.bound_key == world.holder.confirmation["jkt"]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "PS256", "RS256"])
async def test_of_each_usual_kind_of_key(world, identity, algorithm):
    holder = Holder(algorithm, f"a {algorithm}", now=lambda: world.clock.wall)
    token = world.issuer_server.tokens.token(cnf=holder.confirmation)
    assert isinstance(await ask(world, identity, holder.proof(token), token=token), Identified)


async def test_the_scheme_s_case_does_not_matter(world, identity):
    for scheme in (b"dpop", b"DPOP", b"dPoP"):
        assert isinstance(await ask(world, identity, world.holder.proof(world.token), under=scheme), Identified)


# -- the schemes (RFC 9449 §7)


async def test_a_bound_token_is_no_bearer_token(world, identity):
    for proofs in ((), (world.holder.proof(world.token),)):
        reason, detail = await refused(world, identity, *proofs, under=b"Bearer")
        assert reason is Reason.TOKEN_BINDING_MISMATCH
        assert "under the scheme DPoP" in detail


async def test_nor_where_proofs_are_not_understood(world):
    identity = await world.identity([world.issuer_server])
    reason, _ = await refused(world, identity, under=b"Bearer")
    assert reason is Reason.TOKEN_BINDING_MISMATCH
    reason, _ = await refused(world, identity, world.holder.proof(world.token))
    assert reason is Reason.TOKEN_MISSING


async def test_a_token_that_is_not_bound_counts_under_no_proof(world, identity):
    token = world.issuer_server.tokens.token()
    reason, detail = await refused(world, identity, world.holder.proof(token), token=token)
    assert reason is Reason.TOKEN_BINDING_MISMATCH
    assert "not bound to a key" in detail
    assert isinstance(await ask(world, identity, token=token, under=b"Bearer"), Identified)


async def test_without_a_proof(world, identity):
    assert await refused(world, identity) == (Reason.PROOF_INVALID, "There is no proof in a DPoP field.")


async def test_two_proofs_are_none(world, identity):
    good = world.holder.proof(world.token)
    for proofs in ((good, good), (good, world.holder.proof(world.token)), (good, b"")):
        assert await refused(world, identity, *proofs) == (
            Reason.PROOF_INVALID,
            "There is more than one DPoP field.",
        )
    reason, _ = await refused(world, identity, good + b", " + good)
    assert reason is Reason.PROOF_INVALID


# -- the same request only, and once


async def test_a_proof_counts_once(world, identity):
    proof = world.holder.proof(world.token)
    assert isinstance(await ask(world, identity, proof), Identified)
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_REPLAYED
    world.clock.advance(60)
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_REPLAYED
    world.clock.advance(5)
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID  # by its age


async def test_however_it_is_signed_anew(world, identity):
    """ES256 signs differently each time: it is the id that counts."""
    for expected in (None, Reason.PROOF_REPLAYED):
        outcome = await ask(world, identity, world.holder.proof(world.token, jti="one", htm="GET"))
        assert (None if isinstance(outcome, Identified) else outcome.reason) is expected


async def test_another_client_may_choose_the_same_id(world, identity):
    other = Holder(name="other", now=lambda: world.clock.wall)
    token = world.issuer_server.tokens.token(cnf=other.confirmation)
    assert isinstance(await ask(world, identity, world.holder.proof(world.token, jti="one")), Identified)
    assert isinstance(await ask(world, identity, other.proof(token, jti="one"), token=token), Identified)


async def test_nobody_else_uses_up_a_proof(world, identity):
    """Neither with a signature that does not verify, nor for a request that it was not made for."""
    proof = world.holder.proof(world.token)
    forged = proof[:-8] + (b"AAAAAAAA" if not proof.endswith(b"AAAAAAAA") else b"BBBBBBBB")
    assert (await refused(world, identity, forged))[0] is Reason.PROOF_INVALID
    assert (await refused(world, identity, proof, method="POST"))[0] is Reason.PROOF_INVALID
    assert isinstance(await ask(world, identity, proof), Identified)


async def test_a_proof_replayed_a_moment_before_it_is_too_old(world, identity):
    """One from a clock ahead of ours counts for longest: it is remembered as long."""
    proof = world.holder.proof(world.token, iat=int(world.clock.wall) + 5)
    assert isinstance(await ask(world, identity, proof), Identified)
    world.clock.advance(64.9)
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_REPLAYED


@pytest.mark.parametrize(
    ("url", "request_"),
    [
        ("https://r.test/", {"path": "/admin"}),
        ("https://r.test/", {"path": "//"}),
        ("https://r.test/api", {"path": "/api/"}),
        ("https://r.test/api/", {"path": "/api"}),
        ("https://r.test/API", {"path": "/api"}),
        ("https://r.test/a%2Fb", {"path": "/a/b"}),
        ("https://r.test/?/admin", {"path": "/admin"}),
        ("https://r.test/#/admin", {"path": "/admin"}),
        ("https://r.test", {"path": "/admin"}),
        ("https://s.test/", {}),
        ("https://r.test.evil/", {}),
        ("https://r.test@s.test/", {}),
        ("https://s.test@r.test/", {}),
        ("https://s.test\\@r.test/", {}),
        ("https://r.test:8443/", {}),
        ("https://r.test/", {"authority": b"r.test:8443"}),
        ("http://r.test/", {}),
        ("https://r.test/", {"scheme": "http"}),
        ("//r.test/", {}),
        ("/", {}),
        ("r.test/", {}),
        ("https:/r.test/", {}),
        (" https://r.test/", {}),
        ("https://r.test/\n", {}),
        ("https://r.te\nst/", {}),
        ("https://r.test/\u0000", {}),
        ("https://\u24d1.test/", {}),
        ("", {}),
        (ABSENT, {}),
        (None, {}),
        (["https://r.test/"], {}),
        ("https://r.test/" + "a" * 8192, {}),
    ],
)
async def test_a_proof_for_another_target(world, identity, url, request_):
    proof = world.holder.proof(world.token, htu=url)
    reason, detail = await refused(world, identity, proof, **request_)
    assert reason is Reason.PROOF_INVALID
    assert "htu" in detail or "longer than" in detail


@pytest.mark.parametrize(
    ("url", "request_"),
    [
        ("https://r.test", {}),
        ("HTTPS://R.TEST:443/", {}),
        ("https://r.test:/", {}),
        ("https://r.test/?view=full#top", {}),
        ("https://r.test/a/b", {"path": "/a/b", "query": "c=d", "has_query": True}),
        ("https://r.test/%61/./c/../b", {"path": "/a/b"}),
        ("https://r.test/%c3%bc", {"path": "/%C3%BC"}),
        ("https://r.test:8443/", {"authority": b"r.test:8443"}),
        ("http://r.test:80/", {"scheme": "http"}),
        ("https://[0:0::1]/", {"authority": b"[::1]"}),
    ],
)
async def test_other_spellings_of_its_target_are_the_same(world, identity, url, request_):
    """RFC 9449 §4.3: after normalisation, without query and fragment."""
    assert isinstance(await ask(world, identity, world.holder.proof(world.token, htu=url), **request_), Identified)


@pytest.mark.parametrize("method", ["POST", "get", "GET ", "", ABSENT, None, ["GET"], True])
async def test_a_proof_for_another_method(world, identity, method):
    reason, detail = await refused(world, identity, world.holder.proof(world.token, htm=method))
    assert (reason, "htm" in detail) == (Reason.PROOF_INVALID, True)


# -- this token only


async def test_a_proof_for_another_token_of_the_same_key(world, identity):
    other = world.issuer_server.tokens.token(cnf=world.holder.confirmation, scope="admin")
    reason, detail = await refused(world, identity, world.holder.proof(other))
    assert (reason, "ath" in detail) == (Reason.PROOF_INVALID, True)


async def test_a_proof_for_no_token(world, identity):
    wrong = base64url(hashlib.sha256(world.token).digest()).decode()
    for ath in (
        ABSENT,
        None,
        "",
        wrong + "=",
        wrong[:-1],
        wrong.swapcase(),
        [wrong],
        hashlib.sha256(world.token).hexdigest(),
    ):
        reason, detail = await refused(world, identity, world.holder.proof(world.token, ath=ath))
        assert (reason, "ath" in detail) == (Reason.PROOF_INVALID, True)


async def test_a_proof_by_another_key(world, identity):
    thief = Holder(name="thief", now=lambda: world.clock.wall)
    reason, detail = await refused(world, identity, thief.proof(world.token))
    assert (reason, "another key" in detail) == (Reason.TOKEN_BINDING_MISMATCH, True)


async def test_a_proof_that_shows_the_key_and_is_signed_by_another(world, identity):
    thief = Holder(name="thief", now=lambda: world.clock.wall)
    proof = world.holder.proof(world.token, sign=signer("ES256", thief.key))
    reason, detail = await refused(world, identity, proof)
    assert (reason, "signature" in detail) == (Reason.PROOF_INVALID, True)


async def test_a_remembered_key_is_no_verdict(world, identity):
    """The second proof has the very header of the first, which held."""
    thief = Holder(name="thief", now=lambda: world.clock.wall)
    assert isinstance(await ask(world, identity, world.holder.proof(world.token)), Identified)
    proof = world.holder.proof(world.token, sign=signer("ES256", thief.key))
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID
    other = world.issuer_server.tokens.token(cnf=thief.confirmation)
    reason, _ = await refused(world, identity, world.holder.proof(other), token=other)
    assert reason is Reason.TOKEN_BINDING_MISMATCH


# -- of now


@pytest.mark.parametrize(
    ("offset", "held"),
    [(-60, True), (-61, False), (5, True), (6, False), (-3600, False), (3600, False)],
)
async def test_a_proof_is_of_now(world, offset, held):
    identity = await identity_of(world)
    world.clock.advance(100)  # what was made before it began to remember is another test's
    proof = world.holder.proof(world.token, iat=int(world.clock.wall) + offset)
    outcome = await ask(world, identity, proof)
    assert isinstance(outcome, Identified) is held
    if not held:
        assert outcome.reason is Reason.PROOF_INVALID
        assert "iat" in outcome.detail


@pytest.mark.parametrize("iat", [ABSENT, None, "1800000000", True, -1, [], 10**18, b"1e400", b"NaN"])
async def test_its_time_is_a_time(world, identity, iat):
    if isinstance(iat, bytes):
        proof = world.holder.proof(world.token, iat=4242424242424242)
        payload = base64url(
            b'{"jti":"x","htm":"GET","htu":"https://r.test/","iat":%b,"ath":"%b"}'
            % (iat, base64url(hashlib.sha256(world.token).digest()))
        )
        signed = proof.split(b".")[0] + b"." + payload
        proof = signed + b"." + base64url(signer("ES256", world.holder.key)(signed))
    else:
        proof = world.holder.proof(world.token, iat=iat)
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID


async def test_times_that_it_states_beside_count(world, identity):
    now = int(world.clock.wall)
    for claims in ({"exp": now - 5}, {"nbf": now + 6}, {"exp": "soon"}, {"nbf": None}):
        assert (await refused(world, identity, world.holder.proof(world.token, **claims)))[0] is Reason.PROOF_INVALID
    assert isinstance(await ask(world, identity, world.holder.proof(world.token, exp=now, nbf=now)), Identified)


async def test_a_proof_from_before_the_memory_began(world):
    """What was used before a restart, nobody knows here."""
    proof = world.holder.proof(world.token)
    world.clock.advance(1)
    identity = await identity_of(world)
    reason, detail = await refused(world, identity, proof)
    assert (reason, "remembered" in detail) == (Reason.PROOF_INVALID, True)


# -- its form


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": "DPOP+JWT "},
        {"typ": ABSENT},
        {"typ": None},
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": "ES512"},
        {"alg": "es256"},
        {"alg": ABSENT},
        {"alg": ["ES256"]},
        {"jwk": ABSENT},
        {"jwk": None},
        {"jwk": "key"},
        {"jwk": {}},
        {"jku": "https://login.test/keys"},
        {"x5u": "https://login.test/certificate"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 1},
        {"b64": False},
    ],
    ids=str,
)
async def test_a_header_that_says_otherwise(world, identity, header):
    reason, _ = await refused(world, identity, world.holder.proof(world.token, header=header))
    assert reason is Reason.PROOF_INVALID


async def test_no_signature_is_no_signature(world, identity):
    proof = world.holder.proof(world.token, header={"alg": "none"}, sign=lambda _: b"")
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID
    proof = world.holder.proof(world.token, sign=lambda _: b"")
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID
    proof = world.holder.proof(world.token, sign=lambda _: bytes(64))  # CVE-2022-21449
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID


async def test_a_public_key_is_no_secret_of_an_hmac(world, identity):
    """HS256 keyed with what everybody knows (CVE-2015-9235)."""
    secret = b"public"
    jwk = {"kty": "oct", "k": base64url(secret).decode()}
    for key in (jwk, world.holder.jwk):
        proof = world.holder.proof(world.token, header={"alg": "HS256", "jwk": key}, sign=signer("HS256", secret))
        assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_a_private_key_in_the_open(world, identity, algorithm):
    holder = Holder(algorithm, f"open {algorithm}", now=lambda: world.clock.wall)
    token = world.issuer_server.tokens.token(cnf=holder.confirmation)
    reason, detail = await refused(
        world, identity, holder.proof(token, header={"jwk": holder.private_jwk}), token=token
    )
    assert (reason, "private" in detail) == (Reason.PROOF_INVALID, True)
    for member in ("p", "q", "dp", "dq", "qi", "oth", "k"):
        proof = holder.proof(token, header={"jwk": holder.jwk | {member: "AQAB"}})
        reason, detail = await refused(world, identity, proof, token=token)
        assert (reason, "private" in detail) == (Reason.PROOF_INVALID, True)


@pytest.mark.parametrize(
    "members",
    [
        {"x5c": ["MIIB"]},
        {"x5u": "https://login.test"},
        {"x5t#S256": "x"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"alg": "ES384"},
        {"crv": "P-384"},
        {"crv": "secp256k1"},
        {"kty": "RSA"},
        {"x": "AAAA"},
        {"x": base64url(bytes(32)).decode()},
        {"y": ABSENT},
    ],
    ids=str,
)
async def test_a_key_that_says_otherwise(world, identity, members):
    jwk = {name: value for name, value in (world.holder.jwk | members).items() if value is not ABSENT}
    reason, _ = await refused(world, identity, world.holder.proof(world.token, header={"jwk": jwk}))
    assert reason in (Reason.PROOF_INVALID, Reason.TOKEN_BINDING_MISMATCH)


async def test_a_weak_key(world, identity):
    holder = Holder("RS256", "weak", now=lambda: world.clock.wall, bits=1024)
    token = world.issuer_server.tokens.token(cnf=holder.confirmation)
    reason, detail = await refused(world, identity, holder.proof(token), token=token)
    assert (reason, "weak" in detail) == (Reason.PROOF_INVALID, True)


async def test_an_algorithm_that_is_not_configured(world):
    identity = await identity_of(world, algorithms=["RS256"])
    reason, detail = await refused(world, identity, world.holder.proof(world.token))
    assert (reason, "alg" in detail) == (Reason.PROOF_INVALID, True)


@pytest.mark.parametrize("jti", [ABSENT, None, "", "x" * 257, "x" * 16_384, 7, ["a"], "a\nb", "a\u0000"])
async def test_an_id_that_names_nothing(world, identity, jti):
    assert (await refused(world, identity, world.holder.proof(world.token, jti=jti)))[0] is Reason.PROOF_INVALID


@pytest.mark.parametrize(
    "proof", [b"", b"x", b"..", b"a.b", b"a.b.c.d", b"e30.e30.", b"!.!.!", b"\xff.\xff.\xff", b"x" * 100_000]
)
async def test_what_is_no_proof(world, identity, proof):
    assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID


async def test_a_proof_without_bound(world, identity):
    reason, detail = await refused(world, identity, world.holder.proof(world.token, padding="x" * 8192))
    assert (reason, "longer than 8192 octets" in detail) == (Reason.PROOF_INVALID, True)


async def test_members_that_stand_twice_and_deep_nesting(world, identity):
    head, _, _ = world.holder.proof(world.token).split(b".")
    for payload in (b'{"jti":"a","jti":"b"}', b"[" * 1000 + b"]" * 1000, b'"text"', b'{"jti":"a"'):
        signed = head + b"." + base64url(payload)
        proof = signed + b"." + base64url(signer("ES256", world.holder.key)(signed))
        assert (await refused(world, identity, proof))[0] is Reason.PROOF_INVALID


async def test_a_spelling_of_the_key_is_no_other_key(world, identity):
    """Members beside change nothing of what the key is."""
    jwk = dict(reversed(world.holder.jwk.items())) | {"kid": "mine", "use": "sig", "alg": "ES256"}
    assert isinstance(await ask(world, identity, world.holder.proof(world.token, header={"jwk": jwk})), Identified)


async def test_a_token_is_judged_before_its_proof(world, identity):
    """Whoever has no good token cannot have us verify proofs, nor note them."""
    expired = world.issuer_server.tokens.token(cnf=world.holder.confirmation, exp=int(world.clock.wall) - 3600)
    proof = world.holder.proof(expired)
    assert (await refused(world, identity, proof, token=expired))[0] is Reason.TOKEN_EXPIRED
    assert identity.possession.replays.kept == 0
    assert not identity.possession._keys


async def test_keys_that_are_remembered_are_bounded(world, identity):
    possession = identity.possession
    await ask(world, identity, world.holder.proof(world.token))
    (key,) = possession._keys.values()
    for number in range(5000):
        possession._remember(b"%d" % number, msgspec.structs.replace(key, thumbprint=f"{number}"))
    assert len(possession._keys) == len(possession._headers) == 4096


async def test_a_client_that_spells_its_key_anew_each_time_takes_nobody_s_place(world, identity):
    for number in range(20):
        proof = world.holder.proof(world.token, header={"kid": f"{number}"})
        assert isinstance(await ask(world, identity, proof), Identified)
    assert len(identity.possession._keys) == len(identity.possession._headers) == 1


def test_keys_of_the_tests_are_distinct():
    assert public_jwk(private_key("ES256", "thief")) != public_jwk(private_key("ES256", "holder"))
