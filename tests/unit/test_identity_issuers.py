import asyncio
import json

import pytest

from tests.issuer_server import SetClock
from tests.tokens import private_key, public_jwk
from ztproxy.identity.issuers.discovery import discovery_url, saved_keys
from ztproxy.identity.issuers.fetching import FetchError, max_age
from ztproxy.identity.issuers.kept import Published
from ztproxy.identity.issuers.key_store import KeyStore
from ztproxy.identity.issuers.keys import read_key_set
from ztproxy.model import Refusal

KEYS = read_key_set(json.dumps({"keys": [public_jwk(private_key("ES256"), kid="k")]}).encode())


class Issuer:
    """What a store asks, and how often it was asked."""

    def __init__(self):
        self.asked = 0
        self.fresh_for = None
        self.away = False

    async def fetch(self):
        self.asked += 1
        if self.away:
            raise FetchError("away")
        return Published(KEYS, self.fresh_for)


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture
async def store(tmp_path, clock, issuer):
    store = KeyStore("https://a.test", issuer.fetch, saved_keys(tmp_path, "https://a.test", None), 86400.0, clock.clock)
    yield store
    await store.close()


async def find(store, clock, key_id="k"):
    found = await store.find(key_id, "ES256", clock.wall, clock.monotonic)
    if store._running is not None:
        await store._running
    return found


@pytest.mark.parametrize(
    ("fresh_for", "expected"), [(None, 900), (0, 300), (60, 300), (1000, 1000), (3600, 3600), (10**9, 3600)]
)
async def test_keys_are_asked_for_again_in_time(store, clock, issuer, fresh_for, expected):
    issuer.fresh_for = fresh_for
    await find(store, clock)
    clock.advance(expected - 0.5)
    await find(store, clock)
    assert issuer.asked == 1
    clock.advance(0.5)
    await find(store, clock)
    assert issuer.asked == 2


async def test_the_refresh_does_not_make_its_request_wait(store, clock, issuer):
    await find(store, clock)
    clock.advance(3600)
    with pytest.raises(StopIteration):
        store.find("k", "ES256", clock.wall, clock.monotonic).send(None)
    assert store._running is not None


async def test_while_it_is_away_the_background_asks_ever_more_rarely(store, clock, issuer):
    await find(store, clock)
    issuer.away = True
    clock.advance(900)
    pauses = []
    for _ in range(6):
        await find(store, clock)
        pauses.append(store._refresh_at - clock.monotonic)
        clock.advance(pauses[-1])
    assert pauses == [5, 10, 20, 40, 60, 60]
    assert store.failures == 6


async def test_it_says_how_it_stands(store, clock, issuer):
    assert store.summary(clock.wall) == "issuer https://a.test: no keys yet"
    await find(store, clock)
    assert store.summary(clock.wall) == "issuer https://a.test: 1 keys, good for 24.0 hours without it"


async def test_it_can_be_closed_while_it_asks(tmp_path, clock):
    async def forever():
        await asyncio.Event().wait()
        raise AssertionError

    store = KeyStore("https://a.test", forever, saved_keys(tmp_path, "https://a.test", None), 1.0, clock.clock)
    store.start()
    waiting = asyncio.ensure_future(store.find("k", "ES256", clock.wall, clock.monotonic))
    await asyncio.sleep(0)
    await store.close()
    assert isinstance(await waiting, Refusal)


async def test_there_is_never_more_than_one_fetch_at_a_time(tmp_path, clock):
    asked, held = [], asyncio.Event()

    async def slow():
        asked.append(clock.monotonic)
        await held.wait()
        return Published(KEYS, None)

    store = KeyStore("https://a.test", slow, saved_keys(tmp_path, "https://a.test", None), 86400.0, clock.clock)
    waiting = []
    for _ in range(3):
        waiting.append(asyncio.ensure_future(store.find("k", "ES256", clock.wall, clock.monotonic)))
        await asyncio.sleep(0)
        clock.advance(6)
    held.set()
    assert not any(isinstance(found, Refusal) for found in await asyncio.gather(*waiting))
    assert len(asked) == 1
    await store.close()


async def test_a_folder_that_cannot_be_written_is_told_and_borne(store, clock, issuer, tmp_path, caplog):
    store._saved.path = tmp_path / "file" / "x.json"
    (tmp_path / "file").write_text("")
    assert not isinstance(await find(store, clock), Refusal)
    while store._saving is not None:
        await store._saving
    assert "could not be saved" in caplog.text


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        (["public"], None),
        (["max-age=60"], 60),
        (["public, MAX-AGE=60, must-revalidate"], 60),
        (['max-age="60"'], 60),
        (["no-store"], 0),
        (["max-age=60", "no-cache"], 0),
        (["max-age=-1"], None),
        (["max-age=99999999999"], None),
        (["s-maxage=60"], None),
    ],
)
def test_cache_control(values, expected):
    assert max_age(values) == expected


def test_the_discovery_document_is_where_the_specification_says():
    assert discovery_url("https://a.test") == "https://a.test/.well-known/openid-configuration"
    assert discovery_url("https://a.test/b/") == "https://a.test/b/.well-known/openid-configuration"


async def test_when_the_keys_were_fetched_is_known(store, clock, issuer):
    assert store.fetched_at is None
    await find(store, clock)
    fetched = clock.wall
    clock.advance(5000)
    assert store.fetched_at == fetched
