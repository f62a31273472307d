"""Where nonces are demanded, no proof counts that was made in store for later."""

import pytest

from tests.issuer_server import World
from tests.proofs import Holder
from tests.tokens import ABSENT
from ztproxy.identity.proofs.nonces import Nonces, Standing
from ztproxy.model import Identified, Reason

ROTATION = 300.0


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        world.issuer_server = await world.issuer()
        world.holder = Holder(now=lambda: world.clock.wall)
        world.token = world.issuer_server.tokens.token(cnf=world.holder.confirmation)
        yield world


async def identity_of(world, **dpop):
    dpop = {"nonce": "required"} | dpop
    return await world.build(world.settings([world.trust(world.issuer_server)], dpop=dpop))


@pytest.fixture
async def identity(world):
    return await identity_of(world)


async def ask(world, identity, nonce, **claims):
    proof = world.holder.proof(world.token, nonce=nonce, **claims)
    return await world.ask(identity, b"DPoP " + world.token, unverified_proofs=(proof,))


def given(outcome):
    fields = outcome.response_fields if isinstance(outcome, Identified) else outcome.fields
    nonce = dict(fields).get(b"dpop-nonce")
    return None if nonce is None else nonce.decode()


async def test_a_client_is_told_the_nonce_that_it_needs(world, identity):
    refusal = await ask(world, identity, ABSENT)
    assert refusal.reason is Reason.PROOF_NONCE_REQUIRED
    challenges = [value for name, value in refusal.fields if name == b"www-authenticate"]
    assert challenges[0].startswith(b'DPoP realm="ztproxy", algs="ES256 EdDSA PS256 RS256", error="use_dpop_nonce"')
    assert b"error" not in challenges[1]
    held = await ask(world, identity, given(refusal))
    assert isinstance(held, Identified)
    assert given(held) is None


async def test_whoever_has_no_token_yet_is_told_it_too(world, identity):
    refusal = await world.ask(identity)
    assert refusal.reason is Reason.TOKEN_MISSING
    assert isinstance(await ask(world, identity, given(refusal)), Identified)


async def test_a_nonce_in_time_is_followed_by_the_next_one(world, identity):
    first = given(await ask(world, identity, ABSENT))
    world.clock.advance(ROTATION)
    held = await ask(world, identity, first)
    assert isinstance(held, Identified)
    assert given(held) not in (None, first)
    assert isinstance(await ask(world, identity, given(held)), Identified)


@pytest.mark.parametrize("later", [2 * ROTATION, 86_400.0])
async def test_a_nonce_of_yesterday(world, identity, later):
    nonce = given(await ask(world, identity, ABSENT))
    world.clock.advance(later)
    world.token = world.issuer_server.tokens.token(cnf=world.holder.confirmation)
    refusal = await ask(world, identity, nonce)
    assert refusal.reason is Reason.PROOF_NONCE_REQUIRED
    assert given(refusal) not in (None, nonce)


@pytest.mark.parametrize("nonce", [None, "", "x", 7, ["x"], "é", "A" * 24, True])
async def test_a_nonce_that_nobody_gave_out(world, identity, nonce):
    assert (await ask(world, identity, nonce)).reason is Reason.PROOF_NONCE_REQUIRED


async def test_a_nonce_is_no_licence(world, identity):
    """All else is demanded as before, and the proof counts once."""
    nonce = given(await ask(world, identity, ABSENT))
    assert (await ask(world, identity, nonce, htm="POST")).reason is Reason.PROOF_INVALID
    assert isinstance(await ask(world, identity, nonce, jti="one"), Identified)
    assert (await ask(world, identity, nonce, jti="one")).reason is Reason.PROOF_REPLAYED


async def test_only_who_has_the_key_learns_that_a_nonce_counts_no_more(world, identity):
    thief = Holder(name="thief", now=lambda: world.clock.wall)
    proof = thief.proof(world.token)
    refusal = await world.ask(identity, b"DPoP " + world.token, unverified_proofs=(proof,))
    assert refusal.reason is Reason.TOKEN_BINDING_MISMATCH


async def test_nonces_outlive_a_restart_and_other_workers_know_them(world, identity):
    nonce = given(await ask(world, identity, ABSENT))
    assert isinstance(await ask(world, await identity_of(world), nonce), Identified)


async def test_machines_with_one_secret_know_each_other_s(world, tmp_path, monkeypatch):
    monkeypatch.setenv("NONCES", "a secret of all machines")
    first = await identity_of(world, secret={"env": "NONCES"})
    nonce = given(await ask(world, first, ABSENT))
    monkeypatch.setenv("NONCES", "a secret of another fleet")
    other = await identity_of(world, secret={"env": "NONCES"})
    assert (await ask(world, other, nonce)).reason is Reason.PROOF_NONCE_REQUIRED
    assert isinstance(await ask(world, first, nonce), Identified)


async def test_where_none_is_demanded_none_is_told_and_any_is_let_pass(world):
    identity = await identity_of(world, nonce="off")
    assert given(await world.ask(identity)) is None
    assert isinstance(await ask(world, identity, "of another server"), Identified)


def test_a_machine_whose_clock_is_ahead_gives_out_what_counts_here():
    nonces = Nonces(b"secret", 10.0)
    ahead = nonces.current(1010.0)
    assert nonces.standing(ahead, 1005.0) is Standing.CURRENT
    assert nonces.standing(nonces.current(1020.0), 1005.0) is Standing.WORTHLESS


def test_nonces_of_other_secrets_and_times_differ():
    made = {Nonces(secret, 10.0).current(time) for secret in (b"a", b"b") for time in (0.0, 10.0, 20.0)}
    assert len(made) == 6
    assert all(len(nonce) == 24 for nonce in made)
