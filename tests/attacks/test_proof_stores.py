"""Where it cannot be told whether a proof was used before, nobody is let in by it."""

import os

import pytest

from tests.issuer_server import World
from tests.proofs import Holder
from ztproxy.identity import IdentityConfigError
from ztproxy.model import Identified, Reason
from ztproxy.store import Table


@pytest.fixture
async def world(tmp_path):
    async with World(tmp_path) as world:
        world.issuer_server = await world.issuer()
        world.holder = Holder(now=lambda: world.clock.wall)
        world.token = world.issuer_server.tokens.token(cnf=world.holder.confirmation)
        yield world


async def identity_of(world, replay="memory://", **dpop):
    dpop = {"replay": replay, "timeout": "20ms"} | dpop
    return await world.build(world.settings([world.trust(world.issuer_server)], dpop=dpop))


async def word(world, identity, proof=None):
    proofs = (proof or world.holder.proof(world.token),)
    outcome = await world.ask(identity, b"DPoP " + world.token, unverified_proofs=proofs)
    return "in" if isinstance(outcome, Identified) else outcome.reason.word


EACH = pytest.mark.parametrize("replay", ["memory://", "machine://"])
AWAY = Reason.PROOF_STORE_UNAVAILABLE.word


@EACH
async def test_a_full_store_forgets_nothing_and_lets_nobody_in(world, replay):
    identity = await identity_of(world, replay, maximum_proofs=16)
    proofs = [world.holder.proof(world.token) for _ in range(20)]
    words = [await word(world, identity, proof) for proof in proofs]
    held = words.count("in")
    assert words == ["in"] * held + [AWAY] * (20 - held)
    assert held in (15, 16)  # the machine's table has a record of its own
    assert [await word(world, identity, proof) for proof in proofs[:held]] == ["proof-replayed"] * held
    outcome = await world.ask(identity, b"DPoP " + world.token, unverified_proofs=(world.holder.proof(world.token),))
    assert outcome.status == 503
    assert (b"retry-after", b"1") in outcome.fields
    assert "maximum_proofs" in outcome.cause


async def test_what_can_be_used_no_more_makes_room(world):
    identity = await identity_of(world, maximum_proofs=16)
    for _ in range(16):
        assert await word(world, identity) == "in"
    assert await word(world, identity) == AWAY
    world.clock.advance(65)
    assert await word(world, identity) == "in"
    assert identity.possession.replays.kept == 1


async def test_workers_of_a_machine_share_what_was_used(world):
    workers = [await identity_of(world, "machine://") for _ in range(3)]
    proof = world.holder.proof(world.token)
    assert [await word(world, worker, proof) for worker in workers] == ["in", "proof-replayed", "proof-replayed"]


async def test_a_restart_of_the_program_forgets_nothing(world):
    before = await identity_of(world, "machine://")
    proof = world.holder.proof(world.token)
    assert await word(world, before, proof) == "in"
    await before.close()
    after = await identity_of(world, "machine://")
    assert await word(world, after, proof) == "proof-replayed"
    assert await word(world, after) == "in"


@EACH
async def test_a_store_that_begins_anew_takes_nothing_from_before(world, replay):
    """As after a restart of the program, or of the machine."""
    proof = world.holder.proof(world.token)
    world.clock.advance(10)
    identity = await identity_of(world, replay)
    assert await word(world, identity, proof) == "proof-invalid"
    assert await word(world, identity) == "in"


async def test_a_table_that_remembered_less_long_is_not_gone_on_with(world):
    short = await identity_of(world, "machine://", maximum_age="10s")
    proof = world.holder.proof(world.token)
    assert await word(world, short, proof) == "in"
    world.clock.advance(20)
    assert await word(world, await identity_of(world, "machine://", maximum_age="60s"), proof) == "proof-invalid"


async def test_a_table_that_others_hold_lets_nobody_in_until_it_is_free(world):
    identity = await identity_of(world, "machine://")
    replays = identity.possession.replays
    holder = Table.open(replays.path.parent, "proofs-65s", 262_144)
    proof = world.holder.proof(world.token)
    holder.lock()
    assert await word(world, identity, proof) == AWAY
    assert not replays.up
    holder.unlock()
    assert await word(world, identity, proof) == AWAY  # at once, without waiting again
    world.clock.advance(0.1)
    assert await word(world, identity, proof) == "in"
    assert replays.up
    holder.close()


async def test_a_table_that_was_cut_short_lets_nobody_in(world):
    identity = await identity_of(world, "machine://")
    path = identity.possession.replays.path
    os.truncate(path, 4096)
    assert await word(world, identity) == AWAY
    with pytest.raises(IdentityConfigError, match="damaged"):
        await identity_of(world, "machine://")


async def test_a_table_that_was_removed_takes_nothing_from_before(world):
    identity = await identity_of(world, "machine://")
    used, unused = world.holder.proof(world.token), world.holder.proof(world.token)
    assert await word(world, identity, used) == "in"
    identity.possession.replays.path.unlink()
    world.clock.advance(2)
    assert await word(world, identity, used) == "proof-invalid"
    assert await word(world, identity, unused) == "proof-invalid"
    assert await word(world, identity) == "in"


async def test_a_folder_that_others_can_write_to_stops_the_start(world):
    (world.folder / "machine").mkdir(mode=0o777)
    (world.folder / "machine").chmod(0o777)
    with pytest.raises(IdentityConfigError, match="writable by nobody else"):
        await identity_of(world, f"machine://{world.folder}/machine")


# -- over a reload


async def reloaded(world, before, replay="memory://", **dpop):
    after = await identity_of(world, replay, **dpop)
    after.take_over(before)
    return after


@EACH
async def test_a_reload_forgets_nothing(world, replay):
    before = await identity_of(world, replay)
    used, unused = world.holder.proof(world.token), world.holder.proof(world.token)
    assert await word(world, before, used) == "in"
    world.clock.advance(1)
    after = await reloaded(world, before, replay, maximum_proofs=1000 if replay == "memory://" else 262_144)
    assert await word(world, after, used) == "proof-replayed"
    assert await word(world, after, unused) == "in"
    assert await word(world, before, unused) == "proof-replayed"  # what is still under way there


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"maximum_age": "10s"}, {"maximum_age": "60s"}),
        ({"replay": "machine://"}, {"replay": "memory://"}),
        ({"replay": "memory://"}, {"replay": "machine://"}),
    ],
)
async def test_a_reload_that_changes_the_store_takes_nothing_from_before(world, before, after):
    older = await identity_of(world, "machine://")  # so that the table is no new one
    serving = await identity_of(world, **before)
    proof = world.holder.proof(world.token)
    assert await word(world, serving, proof) == "in"
    world.clock.advance(20)
    changed = await reloaded(world, serving, **after)
    assert await word(world, changed, proof) == "proof-invalid"
    assert await word(world, changed) == "in"
    await older.close()


async def test_without_a_store_nothing_else_suffers(world):
    """Tokens that are not bound need no proof."""
    identity = await identity_of(world, "machine://")
    os.truncate(identity.possession.replays.path, 4096)
    outcome = await world.ask(identity, b"Bearer " + world.issuer_server.tokens.token())
    assert isinstance(outcome, Identified)
