"""While one of two servers misbehaves under load, nobody gets another's answer, and nobody fails."""

from contextlib import AsyncExitStack

import pytest

from tests.functional.gateway import Gateway
from tests.pki import client_context
from tests.resilience.load import Load
from tests.resilience.upstream import MODES, Upstream

pytestmark = pytest.mark.slow

CLIENTS = 24
TRIES = "{attempts: 2, minimum: 100}"
"""Requests without content are asked for again elsewhere, where no response has begun: nobody notices."""


@pytest.fixture
async def broken(tmp_path):
    """A sound server, one to be broken, and clients that ask."""
    async with AsyncExitStack() as stack:
        sound, weak = [await stack.enter_async_context(Upstream()) for _ in range(2)]
        servers = f'servers: ["{sound.url}", "{weak.url}"]'
        timeouts = "timeouts: {connect: 500ms, response: 500ms, idle: 1s}"
        kept = "outliers: {maximum_ejected: 0}"  # or the broken one would soon be asked no more
        upstream = f"{{{servers}, {timeouts}, retries: {TRIES}, {kept}}}"
        gateway = await stack.enter_async_context(Gateway(tmp_path, upstream=upstream, require="[certificate]"))
        context = client_context(gateway.ca, gateway.client, tmp_path)
        load = await stack.enter_async_context(Load(gateway.port, context, CLIENTS))
        await load.served()
        assert set(load.statuses) == {200}
        yield sound, weak, load


async def recovers(load):
    """Everyone is served again, and from then on nothing fails."""
    await load.served()
    failed, cut = load.statuses.total() - load.statuses[200], load.cut
    await load.more(10 * CLIENTS)
    assert not load.wrong
    assert (load.statuses.total() - load.statuses[200], load.cut) == (failed, cut)


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_that_misbehaves_gives_nobody_a_wrong_answer(broken, mode):
    _, weak, load = broken
    asked, served = weak.asked, load.statuses[200]
    weak.mode = mode
    for _ in range(3):
        await load.more(5 * CLIENTS)
        assert not load.wrong
    assert weak.asked > asked + CLIENTS // 2
    assert load.statuses[200] > served
    assert set(load.statuses) == {200}
    assert bool(load.cut) == (mode == "half")
    weak.mode = "answers"
    await recovers(load)


async def test_a_server_that_is_killed_and_comes_back(broken):
    sound, weak, load = broken
    for _ in range(3):
        await weak.kill()
        asked = sound.asked
        await load.more(10 * CLIENTS)
        assert sound.asked > asked
        await weak.start()
        await recovers(load)
    assert set(load.statuses) == {200}
