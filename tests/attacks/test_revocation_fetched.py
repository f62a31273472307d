"""Lists fetched over plain HTTP: whoever is on the way, or serves them, can at most keep them from us."""

import asyncio
import logging

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki import DAY, Authority, new_key, now
from tests.revoking import ROOT, Revoking, settle, turn
from ztproxy.identity import IdentityConfigError
from ztproxy.identity.revocation import published_list
from ztproxy.identity.revocation.pointers import permitted
from ztproxy.model import Reason, Refusal

UNKNOWN, REVOKED = Reason.REVOCATION_UNKNOWN, Reason.CERTIFICATE_REVOKED
LEAF, OTHER = ROOT.issue(), ROOT.issue()


@pytest.fixture
async def world(tmp_path):
    async with Revoking(tmp_path) as world:
        yield world


def named(*urls, kind=x509.CRLDistributionPoints):
    """The extension in which a certificate or list names distribution points."""
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return [(kind([x509.DistributionPoint(names, None, None, None)]), False)]


def the_list(identity):
    (authority,) = identity.authorities
    (published,) = authority.published.values()
    return published


async def test_a_list_is_fetched_and_the_first_request_waits_for_it(world):
    identity = await world.knowing(crl_urls=[world.publisher.publish("/ca.crl", ROOT.crl(LEAF))])
    assert await world.judge(identity, LEAF) is REVOKED
    assert await world.judge(identity, OTHER) == "good"
    assert world.publisher.asked == ["/ca.crl"]


@pytest.mark.parametrize(
    "body",
    [
        ROOT.crl(key=new_key()).public_bytes(Encoding.DER),
        Authority.new("Root").crl().public_bytes(Encoding.DER),
        Authority.new("Other").crl().public_bytes(Encoding.DER),
        ROOT.crl(last_update=now() + DAY / 2).public_bytes(Encoding.DER),
        ROOT.crl().public_bytes(Encoding.DER)[:-1],
        ROOT.crl().public_bytes(Encoding.PEM) + ROOT.crl().public_bytes(Encoding.PEM),
        ROOT.pem,
        b"",
        b"<html>",
    ],
    ids=["forged", "same-name", "other", "future", "cut", "two", "certificate", "empty", "page"],
)
async def test_what_is_no_list_of_the_authority_is_not_taken(world, body):
    good = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    identity = await world.knowing(crl_urls=[good])
    assert await world.judge(identity, OTHER) == "good"
    world.publisher.documents["/ca.crl"] = body
    world.clock.advance(3600)
    await turn(identity)
    assert the_list(identity).backoff.failures == 1
    assert await world.judge(identity, OTHER) == "good"
    assert await world.judge(identity, LEAF) is REVOKED
    fresh = await world.knowing(crl_urls=[world.publisher.url("/none.crl")])
    world.publisher.documents["/none.crl"] = body
    assert await world.judge(fresh, OTHER) is UNKNOWN


async def test_an_older_list_does_not_come_back(world):
    """Whoever is on the way could show us the list of before a revocation, as long as that is in date."""
    old = ROOT.crl(number=1, last_update=now() - DAY)
    url = world.publisher.publish("/ca.crl", ROOT.crl(LEAF, number=2, last_update=now() - DAY / 2))
    identity = await world.knowing(crl_urls=[url])
    assert await world.judge(identity, LEAF) is REVOKED
    world.publisher.publish("/ca.crl", old)
    world.clock.advance(3600)
    await turn(identity)
    assert "older than the one known" in the_list(identity).backoff.last_failure
    assert await world.judge(identity, LEAF) is REVOKED
    again = await world.knowing(crl_urls=[url])
    await settle(again)
    assert await world.judge(again, LEAF) is REVOKED


@pytest.mark.parametrize("what", ["redirect", "endless", "error", "unasked-not-modified"])
async def test_a_server_that_misbehaves_keeps_the_last_good_list_in_use(world, what, monkeypatch):
    monkeypatch.setattr(published_list, "MAXIMUM_LIST", 200_000)
    elsewhere = world.publisher.publish("/elsewhere.crl", ROOT.crl())

    async def redirect(_):
        raise web.HTTPFound(elsewhere)

    async def error(_):
        return web.Response(status=500, body=ROOT.crl().public_bytes(Encoding.DER))

    async def not_modified(_):
        return web.Response(status=304)

    identity = await world.knowing(crl_urls=[world.publisher.publish("/ca.crl", ROOT.crl(LEAF))])
    assert await world.judge(identity, LEAF) is REVOKED
    misbehaving = {
        "redirect": redirect,
        "endless": world.publisher.endless,
        "error": error,
        "unasked-not-modified": not_modified,
    }
    world.publisher.handlers["/ca.crl"] = misbehaving[what]
    world.clock.advance(3600)
    await turn(identity)
    assert the_list(identity).backoff.failures == 1
    assert "/elsewhere.crl" not in world.publisher.asked
    assert await world.judge(identity, LEAF) is REVOKED
    assert await world.judge(identity, OTHER) == "good"


async def test_a_slow_server_holds_up_no_request_but_the_first_and_that_for_a_bounded_time(world):
    world.publisher.handlers["/ca.crl"] = world.publisher.hang
    identity = await world.knowing(crl_urls=[world.publisher.url("/ca.crl")], wait="50ms")
    assert await world.judge(identity, LEAF) is UNKNOWN
    world.clock.advance(1)
    with pytest.raises(StopIteration) as ended:  # it did not suspend
        identity.identify(world.routed(certificate=world.shown(LEAF), listener="127.0.0.1:8443")).send(None)
    assert isinstance(ended.value.value, Refusal)


async def test_nobody_waits_for_a_server_that_has_failed_before(world):
    identity = await world.knowing(crl_urls=[world.publisher.url("/ca.crl")])
    await settle(identity)
    world.publisher.handlers["/ca.crl"] = world.publisher.hang
    world.clock.advance(10)
    the_list(identity).ask()
    assert the_list(identity)._running is not None
    with pytest.raises(StopIteration) as ended:
        identity.identify(world.routed(certificate=world.shown(LEAF), listener="127.0.0.1:8443")).send(None)
    assert isinstance(ended.value.value, Refusal)


async def test_a_slow_server_is_not_waited_for_without_end(world, monkeypatch):
    monkeypatch.setattr(published_list, "FETCH_TIME", 0.05)
    world.publisher.handlers["/ca.crl"] = world.publisher.hang
    identity = await world.knowing(crl_urls=[world.publisher.url("/ca.crl")])
    await settle(identity)
    assert "no answer within" in the_list(identity).backoff.last_failure


@pytest.mark.slow
async def test_while_it_fails_it_is_asked_later_each_time_and_nobody_waits(world):
    identity = await world.knowing(crl_urls=[world.publisher.url("/none.crl")])
    await settle(identity)
    published = the_list(identity)
    assert published.first is None
    pauses = []
    for _ in range(8):
        pauses.append(published.backoff.next_attempt - world.clock.monotonic)
        world.clock.advance(pauses[-1] - 1)
        asked = len(world.publisher.asked)
        await turn(identity)
        assert len(world.publisher.asked) == asked
        world.clock.advance(1)
        await turn(identity)
        assert len(world.publisher.asked) == asked + 1
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    world.publisher.publish("/none.crl", ROOT.crl())
    world.clock.advance(300)
    await turn(identity)
    assert await world.judge(identity, LEAF) == "good"


async def test_it_is_asked_for_again_before_it_ends(world):
    """Half of what is left, and once an hour at least."""
    world.publisher.tagged = True
    identity = await world.knowing(crl_urls=[world.publisher.publish("/ca.crl", ROOT.crl())])
    await settle(identity)
    published = the_list(identity)
    assert published.due_at() == world.clock.wall + 3600
    end = published.known.one.next_update
    world.clock.advance(end - world.clock.wall - 1000)
    await turn(identity)
    assert published.due_at() == world.clock.wall + 500
    world.clock.advance(960)
    await turn(identity)
    assert published.due_at() == world.clock.wall + 30
    assert world.publisher.asked == ["/ca.crl"] * 3
    assert published.backoff.failures == 0


async def test_a_certificate_makes_us_ask_only_where_configured(world):
    inside = world.publisher.publish("/pki/1.crl", ROOT.crl(LEAF))
    outside = world.publisher.publish("/else/1.crl", ROOT.crl(LEAF))
    identity = await world.knowing(follow=[world.publisher.url("/pki/")])
    assert await world.judge(identity, ROOT.issue(extensions=named(outside))) is UNKNOWN
    assert world.publisher.asked == []
    assert await world.judge(identity, ROOT.issue(extensions=named(inside))) == "good"
    assert world.publisher.asked == ["/pki/1.crl"]
    assert await world.judge(identity, LEAF) is REVOKED


@pytest.mark.parametrize(
    "url",
    [
        "http://pki.test.evil.test/crl/1",
        "http://pki.test@evil.test/crl/1",
        "http://pki.test:80@evil.test/crl/1",
        "http://pki.test/other/1",
        "http://pki.test/crl/../other/1",
        "http://pki.test/crl/%2e%2e/other/1",
        "http://pki.test/crl/..%2fother/1",
        "http://pki.test/crl/a\\..\\1",
        "http://pki.test/crl/1#x",
        "http://pki.test/crl/1 x",
        "http://pki.test/crl/1\r\nHost: evil",
        "https://pki.test/crl/1",
        "ldap://pki.test/crl/1",
        "file:///etc/passwd",
        "http://pki.test:8080/crl/1",
    ],
)
def test_a_url_that_only_looks_like_one_that_is_permitted(url):
    assert permitted([url], ["http://pki.test/crl/"]) == ()
    assert permitted(["http://pki.test/crl/1.crl?x=1"], ["http://pki.test/crl/"]) == ("http://pki.test/crl/1.crl?x=1",)


async def test_only_so_many_urls_are_followed(world, monkeypatch):
    monkeypatch.setattr("ztproxy.identity.revocation.authority.MAXIMUM_FOLLOWED", 3)
    identity = await world.knowing(follow=[world.publisher.url("/pki/")])
    for number in range(5):
        await world.judge(identity, ROOT.issue(extensions=named(world.publisher.url(f"/pki/{number}.crl"))))
    (authority,) = identity.authorities
    assert (len(authority.published), authority.left_out) == (3, 2)
    assert len(world.publisher.asked) == 3


async def test_the_last_good_list_survives_a_restart_while_the_server_is_away(world):
    url = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    identity = await world.knowing(crl_urls=[url])
    assert await world.judge(identity, LEAF) is REVOKED
    await settle(identity)
    await identity.close()
    await world.publisher.stop()
    world.clock.advance(7200)
    again = await world.knowing(crl_urls=[url])
    assert await world.judge(again, LEAF) is REVOKED
    assert await world.judge(again, OTHER) == "good"
    await settle(again)
    assert the_list(again).backoff.failures == 1
    world.clock.advance(2 * 86400)
    assert await world.judge(again, OTHER) is UNKNOWN
    assert await world.judge(again, LEAF) is REVOKED


@pytest.mark.parametrize("how", ["writable", "link", "forged", "other-authority"])
async def test_a_saved_list_that_may_be_forged_is_not_used(world, how):
    url = world.publisher.publish("/ca.crl", ROOT.crl())
    identity = await world.knowing(crl_urls=[url])
    await settle(identity)
    await identity.close()
    (saved,) = (world.folder / "var" / "revocation").iterdir()
    assert saved.stat().st_mode & 0o777 == 0o600
    if how == "writable":
        saved.chmod(0o622)
    elif how == "link":
        saved.rename(world.folder / "moved")
        saved.symlink_to(world.folder / "moved")
    else:
        signed = ROOT.crl(key=new_key()) if how == "forged" else Authority.new("Root").crl()
        saved.write_bytes(signed.public_bytes(Encoding.DER))
    await world.publisher.stop()
    again = await world.knowing(crl_urls=[url])
    assert await world.judge(again, OTHER) is UNKNOWN


async def test_what_one_process_has_fetched_another_need_not(world):
    url = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    first = await world.knowing(crl_urls=[url])
    await settle(first)
    second = await world.knowing(crl_urls=[url])
    assert await world.judge(second, LEAF) is REVOKED
    assert world.publisher.asked == ["/ca.crl"]


async def test_a_reload_goes_on_from_what_is_known(world):
    url = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    before = await world.knowing(crl_urls=[url])
    await settle(before)
    after = await world.knowing(crl_urls=[url], on_unknown="allow", refresh="2h", started=False)
    after.take_over(before)
    await after.start()
    with pytest.raises(StopIteration) as ended:
        after.identify(world.routed(certificate=world.shown(LEAF), listener="127.0.0.1:8443")).send(None)
    assert ended.value.value.reason is REVOKED
    assert world.publisher.asked == ["/ca.crl"]


async def test_a_grace_lets_what_is_out_of_date_count_so_long_and_says_so(world, caplog):
    url = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    identity = await world.knowing(crl_urls=[url], grace="2h")
    await settle(identity)
    await world.publisher.stop()
    end = the_list(identity).known.one.next_update
    revocation = identity.revocation["127.0.0.1:8443"]
    world.clock.advance(end - world.clock.wall - 1)
    assert await world.judge(identity, OTHER) == "good"
    assert revocation.let_in_late == 0
    world.clock.advance(1)
    with caplog.at_level(logging.WARNING):
        assert await world.judge(identity, OTHER) == "good"
    assert "within the grace" in caplog.text
    assert revocation.let_in_late == 1
    assert await world.judge(identity, LEAF) is REVOKED
    world.clock.advance(7199)
    assert await world.judge(identity, OTHER) == "good"
    world.clock.advance(1)
    assert await world.judge(identity, OTHER) is UNKNOWN


async def test_unknown_is_let_in_where_said_for_that_authority_alone(world):
    sub = ROOT.subordinate("Sub")
    sections = [
        {"authority": world.root.write(world.folder), "crl": [ROOT.write_crl(world.folder)]},
        {
            "authority": sub.write(world.folder, "sub"),
            "crl_urls": [world.publisher.url("/none")],
            "on_unknown": "allow",
        },
    ]
    identity = await world.build(world.asking(*sections))
    await settle(identity)
    assert await world.judge(identity, world.shown(sub.issue(), sub, ROOT)) == "unchecked"
    assert identity.revocation["127.0.0.1:8443"].let_in_unchecked == 1
    other = ROOT.subordinate("Other")
    assert await world.judge(identity, world.shown(other.issue(), other, ROOT)) is UNKNOWN


async def test_an_authority_of_which_nothing_was_ever_had_keeps_the_proxy_from_being_ready(world):
    identity = await world.knowing(crl_urls=[world.publisher.url("/ca.crl")])
    await settle(identity)
    assert list(identity.unready()) == ["nothing is known about revoked certificates of ca.pem"]
    world.publisher.publish("/ca.crl", ROOT.crl())
    world.clock.advance(10)
    await turn(identity)
    assert list(identity.unready()) == []
    allowed = await world.knowing(crl_urls=[world.publisher.url("/none.crl")], on_unknown="allow")
    await settle(allowed)
    assert list(allowed.unready()) == []


async def test_a_clock_that_was_wrong_keeps_nothing_from_being_asked(world):
    url = world.publisher.publish("/ca.crl", ROOT.crl())
    world.clock.advance(86400 * 300)
    identity = await world.knowing(crl_urls=[url])
    await settle(identity)
    assert "out of date" in the_list(identity).backoff.last_failure
    world.clock.wall -= 86400 * 300
    world.clock.monotonic += 300
    world.publisher.publish("/ca.crl", ROOT.crl(LEAF, number=2))
    await turn(identity)
    assert await world.judge(identity, LEAF) is REVOKED
    assert await world.judge(identity, OTHER) == "good"


async def test_a_list_that_is_over_is_asked_for_without_its_tag(world):
    """Whoever answers that nothing has changed would keep it from us for ever."""
    world.publisher.tagged = True
    url = world.publisher.publish("/ca.crl", ROOT.crl())
    identity = await world.knowing(crl_urls=[url])
    await settle(identity)
    assert the_list(identity).known.tag is not None
    world.clock.advance(86400 * 2)
    await turn(identity)
    assert the_list(identity).backoff.failures == 1
    assert the_list(identity).known.tag is None


async def test_what_a_server_says_forges_no_line_of_the_log(world, caplog):
    async def forge(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 5000 + b"\0\n2026-11-26 INFO all is well\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(forge, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        identity = await world.knowing(crl_urls=[f"http://127.0.0.1:{port}/x"])
        await settle(identity)
    said = the_list(identity).backoff.last_failure
    assert said.isprintable()
    assert len(said) < 400
    assert "\n" not in caplog.messages[-1]


async def test_authorities_that_leave_open_what_is_meant_stop_the_start(world):
    twice = [
        {"authority": world.root.write(world.folder, name), "crl_urls": [world.publisher.url("/x")]}
        for name in ("one", "two")
    ]
    with pytest.raises(IdentityConfigError, match="another entry is about the same authority"):
        await world.build(world.asking(*twice))
    leaf, _ = LEAF.write(world.folder, "leaf")
    with pytest.raises(IdentityConfigError, match="no authority's"):
        await world.knowing(authority=leaf, crl_urls=[world.publisher.url("/x")])


async def test_closing_leaves_nothing_behind(world):
    world.publisher.handlers["/ca.crl"] = world.publisher.hang
    identity = await world.knowing(crl_urls=[world.publisher.url("/ca.crl")])
    await asyncio.sleep(0)
    await identity.close()
    assert the_list(identity)._running is None
