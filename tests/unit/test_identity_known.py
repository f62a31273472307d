"""What is told about sources: every one of them, the worst of those that go by one name."""

import time

import pytest

from tests.pki import now
from tests.publisher import Responder
from tests.revoking import ROOT, Revoking, settle
from tests.unit.test_admin_sources import made as parts_of
from ztproxy.admin.sources import judging_of
from ztproxy.identity.revocation.known import known


@pytest.fixture
async def world(tmp_path):
    async with Revoking(tmp_path) as world:
        yield world


def told(identity):
    (authority,) = identity.authorities
    return {one.source: one for one in known(authority)}


async def test_every_source_is_told(world):
    leaf = ROOT.issue()
    url = world.publisher.publish("/ca.crl", ROOT.crl(leaf))
    responder = Responder(ROOT)
    responder.revoke(leaf)
    ocsp = world.publisher.answer("/ocsp", responder)
    file = ROOT.write_crl(world.folder, leaf, number=2)
    identity = await world.knowing(crl=[file], crl_urls=[url, world.publisher.url("/none")], ocsp_urls=[ocsp])
    await settle(identity)
    await world.judge(identity, leaf)
    await settle(identity)
    found = told(identity)
    assert list(found) == ["ca.crl", url, world.publisher.url("/none"), "OCSP"]
    assert [one.kind for one in found.values()] == ["list", "list", "list", "ocsp"]
    assert [one.revoked for one in found.values()] == [1, 1, 0, 1]
    assert [one.failures for one in found.values()] == [0, 0, 1, 0]
    assert found[world.publisher.url("/none")].made_at is None
    assert found["OCSP"].made_at == world.clock.wall
    assert found[url].made_at < time.time() < found[url].ends_at


async def test_lists_that_certificates_name_are_told_as_one_and_no_name_is_theirs(world):
    from tests.attacks.test_revocation_fetched import named

    prefix = world.publisher.url("/pki/")
    ends = [world.publisher.publish("/pki/1", ROOT.crl(1)), world.publisher.publish("/pki/2", ROOT.crl(2, 3))]
    identity = await world.knowing(follow=[prefix])
    for url in (*ends, world.publisher.url("/pki/none")):
        await world.judge(identity, ROOT.issue(extensions=named(url)))
    await settle(identity)
    found = told(identity)
    assert list(found) == [f"{prefix}…", "OCSP"]
    one = found[f"{prefix}…"]
    assert (one.revoked, one.made_at, one.ends_at, one.failures) == (3, None, None, 1)


async def test_the_summary_says_how_old_it_is(world):
    url = world.publisher.publish("/ca.crl", ROOT.crl(1, last_update=now().replace(year=now().year - 1)))
    identity = await world.knowing(crl_urls=[url, world.publisher.url("/none")], ocsp_urls=[world.publisher.url("/o")])
    await settle(identity)
    lines = list(identity.summary())
    assert lines[0].startswith(f"revocation list of CN=Root from {url}: made 36")
    assert lines[0].endswith("days ago, 1 revoked")
    assert lines[1] == f"revocation list of ca.pem from {world.publisher.url('/none')}: not fetched yet"
    assert lines[2] == "revocation of ca.pem: OCSP, asked when its certificates come"
    world.clock.advance(3 * 86400)
    assert next(iter(identity.summary())).endswith("; not current")


async def test_without_responders_no_questions_are_counted(tmp_path):
    parts = parts_of(tmp_path)
    assert (judging_of(parts).ocsp, judging_of(parts).late) == ({}, {"127.0.0.1:8443": 0})
    await parts.close()
