"""OCSP responders asked over plain HTTP, in the background: neither they nor a flood hold anybody up."""

import asyncio
import datetime as dt
import logging

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from tests.pki import Authority, now
from tests.publisher import UNKNOWN, Responder, delegate
from tests.revoking import ADDRESS, ROOT, Revoking, settle
from tests.unit.test_edge_streams import edge, opened
from tests.websocket import frame
from ztproxy.identity.revocation import answers, ocsp_client
from ztproxy.model import Identified, Reason, Refusal

NOT_KNOWN, REVOKED = Reason.REVOCATION_UNKNOWN, Reason.CERTIFICATE_REVOKED
LEAF = ROOT.issue()


@pytest.fixture
async def world(tmp_path):
    async with Revoking(tmp_path) as world:
        yield world


@pytest.fixture
def responder(world):
    responder = Responder(ROOT)
    world.publisher.answer("/ocsp", responder)
    return responder


def asked_of(identity):
    (authority,) = identity.authorities
    return authority.answers


def at_once(world, identity, leaf):
    """What becomes of a request that does not suspend."""
    with pytest.raises(StopIteration) as ended:
        identity.identify(world.routed(certificate=world.shown(leaf), listener=ADDRESS)).send(None)
    outcome = ended.value.value
    return outcome.reason if isinstance(outcome, Refusal) else outcome.certificate.revocation


async def test_the_first_request_waits_for_the_answer_and_no_other_does(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) == "good"
    assert at_once(world, identity, LEAF) == "good"
    assert responder.questions == 1
    revoked = ROOT.issue()
    responder.revoke(revoked)
    assert await world.judge(identity, revoked) is REVOKED
    assert at_once(world, identity, revoked) is REVOKED


async def test_many_first_requests_of_one_certificate_are_one_question(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert set(await asyncio.gather(*(world.judge(identity, LEAF) for _ in range(20)))) == {"good"}
    assert responder.questions == 1


async def test_a_revocation_is_noticed_when_it_is_asked_again(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) == "good"
    responder.revoke(LEAF)
    responder.this_update = lambda: now() + dt.timedelta(seconds=5)
    world.clock.advance(3599)
    assert at_once(world, identity, LEAF) == "good"
    assert responder.questions == 1
    world.clock.advance(1)
    assert at_once(world, identity, LEAF) == "good"  # it is asked behind this request's back
    await settle(identity)
    assert at_once(world, identity, LEAF) is REVOKED
    assert responder.questions == 2


@pytest.mark.parametrize("what", ["away", "error", "redirect", "endless", "nonsense", "later", "stranger", "another"])
async def test_a_responder_that_misbehaves_says_nothing(world, responder, what):
    good = Responder(ROOT)
    elsewhere = world.publisher.answer("/elsewhere", Responder(ROOT))
    later = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)

    def saying(body, status=200):
        async def say(_):
            return web.Response(body=body, status=status)

        return say

    async def redirect(_):
        raise web.HTTPTemporaryRedirect(elsewhere)

    handlers = {
        "away": saying(b"", 404),
        "error": saying(good.about(LEAF), 500),
        "redirect": redirect,
        "endless": world.publisher.endless,
        "nonsense": saying(b"<html>"),
        "later": saying(later),
        "stranger": saying(Responder(ROOT, delegate(Authority.new("Root"))).about(LEAF)),
        "another": saying(good.about(ROOT.issue())),
    }
    world.publisher.handlers["/ocsp"] = handlers[what]
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) is NOT_KNOWN
    assert world.publisher.asked == ["/ocsp"]
    assert at_once(world, identity, LEAF) is NOT_KNOWN
    refusal = await world.outcome(identity, LEAF)
    assert dict(refusal.fields)[b"retry-after"] == b"10"
    assert world.publisher.asked == ["/ocsp"]
    del world.publisher.handlers["/ocsp"]
    world.clock.advance(10)
    at_once(world, identity, LEAF)
    await settle(identity)
    assert at_once(world, identity, LEAF) == "good"


async def test_the_next_responder_is_asked_when_one_fails(world, responder):
    urls = [world.publisher.url("/none"), world.publisher.url("/ocsp")]
    identity = await world.knowing(ocsp_urls=urls)
    assert await world.judge(identity, LEAF) == "good"
    assert world.publisher.asked == ["/none", "/ocsp"]
    assert asked_of(identity).backoff.failures == 0


async def test_a_slow_responder_holds_up_the_first_request_for_a_bounded_time(world):
    world.publisher.handlers["/ocsp"] = world.publisher.hang
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], wait="50ms")
    assert await world.judge(identity, LEAF) is NOT_KNOWN
    world.clock.advance(1)
    assert at_once(world, identity, LEAF) is NOT_KNOWN


async def test_a_slow_responder_is_given_up(world, monkeypatch):
    monkeypatch.setattr(ocsp_client, "ANSWER_TIME", 0.05)
    world.publisher.handlers["/ocsp"] = world.publisher.hang
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) is NOT_KNOWN
    assert "no answer within" in asked_of(identity).backoff.last_failure
    assert await world.judge(identity, ROOT.issue()) is NOT_KNOWN
    assert len(world.publisher.asked) == 1  # nobody waits for one that fails


async def test_a_flood_of_certificates_asks_so_many_at_once_and_keeps_so_many_waiting(world, monkeypatch):
    monkeypatch.setattr(answers, "MAXIMUM_WAITING", 5)
    monkeypatch.setattr(answers, "AT_ONCE", 3)
    monkeypatch.setattr(answers, "MAXIMUM_KNOWN", 10)
    world.publisher.handlers["/ocsp"] = world.publisher.hang
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], on_unknown="allow", wait="1ms")
    await asyncio.gather(*(world.judge(identity, ROOT.issue()) for _ in range(20)))
    asked = asked_of(identity)
    assert (len(asked._running), len(asked._waiting), len(asked._cases)) == (3, 5, 10)
    assert asked.left_out >= 12
    assert len(world.publisher.asked) <= 3


@pytest.mark.slow
async def test_while_the_responder_fails_one_at_a_time_asks_whether_it_is_back(world, responder):
    """A flood of certificates during an outage neither keeps it busy nor waits for it."""
    world.publisher.handlers["/ocsp"] = down
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) is NOT_KNOWN
    leaves = [ROOT.issue() for _ in range(5)]
    await asyncio.gather(*(world.judge(identity, leaf) for leaf in leaves))
    await settle(identity)
    asked = asked_of(identity)
    assert len(world.publisher.asked) == 1
    world.clock.advance(10)
    await asyncio.gather(*(world.judge(identity, leaf) for leaf in leaves))
    await settle(identity)
    assert len(world.publisher.asked) == 2
    del world.publisher.handlers["/ocsp"]
    world.clock.advance(20)
    await asyncio.gather(*(world.judge(identity, leaf) for leaf in leaves))
    await settle(identity)
    assert asked.backoff.failures == 0
    world.clock.advance(1)
    assert [await world.judge(identity, leaf) for leaf in leaves] == ["good"] * 5


async def down(_):
    return web.Response(status=503)


async def test_unknown_is_no_word_for_good(world, responder):
    responder.status[LEAF.certificate.serial_number] = UNKNOWN
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) is NOT_KNOWN
    allowed = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], on_unknown="allow")
    assert await world.judge(allowed, LEAF) == "unchecked"


async def test_revoked_by_any_source_is_revoked(world, responder):
    lists = world.publisher.publish("/ca.crl", ROOT.crl(LEAF))
    identity = await world.knowing(crl_urls=[lists], ocsp_urls=[world.publisher.url("/ocsp")])
    await settle(identity)
    assert await world.judge(identity, LEAF) is REVOKED
    other = ROOT.issue()
    responder.revoke(other)
    assert await world.judge(identity, other) == "good"  # a list says so, and nobody waits for a second word
    await settle(identity)
    assert await world.judge(identity, other) is REVOKED


async def test_a_responder_whose_own_certificate_was_revoked_says_nothing(world):
    signer = delegate(ROOT)
    url = world.publisher.answer("/delegated", Responder(ROOT, signer))
    # a list that leaves open whether anything is good, but not what it revokes
    reasons = frozenset([x509.ReasonFlags.key_compromise])
    scope = x509.IssuingDistributionPoint(None, None, False, False, reasons, False, False)
    lists = world.publisher.publish("/ca.crl", ROOT.crl(signer, extensions=[(scope, True)]))
    trusting = await world.knowing(ocsp_urls=[url])
    assert await world.judge(trusting, LEAF) == "good"
    identity = await world.knowing(ocsp_urls=[url], crl_urls=[lists])
    await settle(identity)
    assert await world.judge(identity, LEAF) is NOT_KNOWN


async def test_an_older_answer_does_not_come_back(world, responder):
    """Whoever is on the way could show us the answer of before a revocation, as long as that is in date."""
    responder.nonce = lambda _: None
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    old = responder.about(LEAF)
    responder.revoke(LEAF)
    responder.this_update = lambda: now() + dt.timedelta(seconds=5)
    assert await world.judge(identity, LEAF) is REVOKED

    async def replay(_):
        return web.Response(body=old)

    world.publisher.handlers["/ocsp"] = replay
    world.clock.advance(3600)
    at_once(world, identity, LEAF)
    await settle(identity)
    assert asked_of(identity).failed == 1
    assert await world.judge(identity, LEAF) is REVOKED


async def test_a_nonce_that_is_required(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], ocsp_nonce="require")
    assert await world.judge(identity, LEAF) == "good"
    responder.nonce = lambda _: None
    assert await world.judge(identity, ROOT.issue()) is NOT_KNOWN
    seen = []
    responder.nonce = seen.append
    omitting = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], ocsp_nonce="omit")
    await world.judge(omitting, ROOT.issue())
    assert seen == [None]


async def test_the_last_answers_survive_a_restart_while_the_responder_is_away(world, responder):
    revoked = ROOT.issue()
    responder.revoke(revoked)
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) == "good"
    assert await world.judge(identity, revoked) is REVOKED
    await settle(identity)
    await identity.close()
    await world.publisher.stop()
    world.clock.advance(7200)
    again = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(again, LEAF) == "good"
    assert await world.judge(again, revoked) is REVOKED
    assert await world.judge(again, ROOT.issue()) is NOT_KNOWN
    strict = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], ocsp_nonce="require")
    assert await world.judge(strict, LEAF) is NOT_KNOWN
    world.clock.advance(2 * 86400)
    assert await world.judge(again, LEAF) is NOT_KNOWN


async def test_what_one_process_was_told_another_need_not_ask(world, responder):
    first = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    await world.judge(first, LEAF)
    await settle(first)
    second = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(second, LEAF) == "good"
    assert responder.questions == 1


async def test_a_reload_goes_on_from_what_is_known(world, responder):
    before = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    await world.judge(before, LEAF)
    for changed in ({"grace": "1h"}, {"refresh": "2h"}, {"follow": ["http://pki.test/"]}):
        after = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], started=False, **changed)
        after.take_over(before)
        await after.start()
        assert at_once(world, after, LEAF) == "good"
    assert responder.questions == 1
    strict = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], started=False, ocsp_nonce="require")
    strict.take_over(before)
    assert await world.judge(strict, LEAF) == "good"
    assert responder.questions == 2


async def test_a_grace_for_answers(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], grace="1h")
    assert await world.judge(identity, LEAF) == "good"
    await settle(identity)
    await world.publisher.stop()
    (case,) = asked_of(identity)._cases.values()
    world.clock.advance(case.answer.next_update - world.clock.wall)
    assert at_once(world, identity, LEAF) == "good"
    assert identity.revocation[ADDRESS].let_in_late == 1
    world.clock.advance(3600)
    assert at_once(world, identity, LEAF) is NOT_KNOWN


def naming(url):
    """The extension in which a certificate names a responder."""
    place = x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(url))
    return [(x509.AuthorityInformationAccess([place]), False)]


async def test_a_certificate_makes_us_ask_only_where_configured(world):
    inside = world.publisher.answer("/pki/ocsp", Responder(ROOT))
    outside = world.publisher.answer("/else", Responder(ROOT))
    identity = await world.knowing(follow=[world.publisher.url("/pki/")])
    assert await world.judge(identity, ROOT.issue(extensions=naming(outside))) is NOT_KNOWN
    assert await world.judge(identity, ROOT.issue()) is NOT_KNOWN
    assert world.publisher.asked == []
    assert await world.judge(identity, ROOT.issue(extensions=naming(inside))) == "good"


async def test_an_intermediate_is_asked_about_too(world, responder):
    sub = ROOT.subordinate("Sub")
    subs = world.publisher.answer("/sub", Responder(sub))
    sections = [
        {"authority": ROOT.write(world.folder), "ocsp_urls": [world.publisher.url("/ocsp")]},
        {"authority": sub.write(world.folder, "sub"), "ocsp_urls": [subs]},
    ]
    identity = await world.build(world.asking(*sections))
    certificate = world.shown(sub.issue(), sub, ROOT)
    assert await world.judge(identity, certificate) == "good"  # it waits for the answers about both
    await settle(identity)
    responder.revoke(sub)
    other = await world.build(world.asking(*sections))
    for path in (world.folder / "var" / "revocation").iterdir():
        path.unlink()
    await world.judge(other, certificate)
    await settle(other)
    assert await world.judge(other, certificate) is REVOKED


async def test_failures_are_told_and_counted(world, caplog):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/none")])
    with caplog.at_level(logging.WARNING):
        assert await world.judge(identity, LEAF) is NOT_KNOWN
    assert f"serial number {LEAF.certificate.serial_number:x}" in caplog.text
    assert asked_of(identity).failed == 1
    refusal = await world.outcome(identity, LEAF)
    assert "answered 404" in refusal.cause


async def test_a_server_of_another_authority_is_not_asked_over_https(world, tmp_path):
    issuer = await world.issuer()

    async def good(request):
        return web.Response(body=Responder(ROOT).answer(await request.read()))

    issuer.answers["/ocsp"] = good
    url = f"{issuer.url}/ocsp"
    trusting = await world.knowing(ocsp_urls=[url], tls_authorities=[world.authority_file])
    assert await world.judge(trusting, LEAF) == "good"
    other = Authority.new("Another").write(tmp_path, "another")
    identity = await world.knowing(ocsp_urls=[url], tls_authorities=[other], refresh="2h")
    assert await world.judge(identity, ROOT.issue()) is NOT_KNOWN
    assert "certificate" in asked_of(identity).backoff.last_failure.lower()


async def test_a_clock_that_was_wrong_keeps_nothing_from_being_asked(world, responder):
    """Answers made for a time ahead of ours do not stay for ever."""
    world.clock.advance(20 * 3600)
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    assert await world.judge(identity, LEAF) == "good"
    await settle(identity)
    world.clock.wall -= 20 * 3600
    responder.revoke(LEAF)
    at_once(world, identity, LEAF)
    world.clock.advance(3600)
    at_once(world, identity, LEAF)
    await settle(identity)
    assert await world.judge(identity, LEAF) is REVOKED
    assert responder.questions == 2


async def test_closing_leaves_nothing_behind(world):
    world.publisher.handlers["/ocsp"] = world.publisher.hang
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], wait="1ms")
    await world.judge(identity, LEAF)
    await identity.close()
    assert not asked_of(identity)._running


async def test_one_who_gives_up_waiting_leaves_the_question_to_others(world, responder):
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    one = asyncio.ensure_future(world.outcome(identity, LEAF))
    two = asyncio.ensure_future(world.outcome(identity, LEAF))
    await asyncio.sleep(0)
    one.cancel()
    outcome = await two
    assert isinstance(outcome, Identified)
    assert one.cancelled()


async def test_a_stream_ends_when_its_certificate_is_revoked(world, responder):
    """Found by asking again behind the stream's back; one that is still good goes on."""
    other = ROOT.issue()
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    for leaf in (LEAF, other):
        assert await world.judge(identity, leaf) == "good"
    streams = [opened(edge(certificate=world.shown(leaf), expires_in=1e6)) for leaf in (LEAF, other)]
    responder.revoke(LEAF)
    responder.this_update = lambda: now() + dt.timedelta(seconds=5)
    world.clock.advance(3600)
    for looked in (1, 2):
        for one in streams:
            await one.site.streams.rejudge(on_this_listener(identity), world.clock.wall)
        assert [one.wire.closed for one in streams] == [looked == 2, False]
        await settle(identity)
    assert streams[0].wire.taken().endswith(frame(8, b"\x03\xf0certificate-revoked"))


async def test_a_stream_ends_when_nothing_is_known_any_more_and_that_is_refused(world, responder):
    url = world.publisher.url("/ocsp")
    refusing = await world.knowing(ocsp_urls=[url])
    allowing = await world.knowing(ocsp_urls=[url], on_unknown="allow", refresh="2h")
    assert await world.judge(refusing, LEAF) == await world.judge(allowing, LEAF) == "good"
    await settle(refusing)
    await settle(allowing)
    await world.publisher.stop()
    world.clock.advance(2 * 86400)
    one, two = (opened(edge(certificate=world.shown(LEAF), expires_in=1e6)) for _ in range(2))
    await one.site.streams.rejudge(on_this_listener(refusing), world.clock.wall)
    await two.site.streams.rejudge(on_this_listener(allowing), world.clock.wall)
    assert (one.wire.closed, two.wire.closed) == (True, False)
    assert allowing.revocation[ADDRESS].let_in_unchecked == 0  # it counts requests, not looks
    assert one.wire.taken().endswith(frame(8, b"\x03\xf0revocation-unknown"))


async def test_a_stream_is_not_ended_while_the_first_answer_is_on_its_way(world, responder):
    """As after a reload that names other sources."""
    identity = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")])
    one = opened(edge(certificate=world.shown(LEAF), expires_in=1e6))
    await one.site.streams.rejudge(on_this_listener(identity), world.clock.wall)
    assert not one.wire.closed
    await settle(identity)
    await one.site.streams.rejudge(on_this_listener(identity), world.clock.wall)
    assert (one.wire.closed, responder.questions) == (False, 1)
    world.publisher.handlers["/ocsp"] = down
    other = await world.knowing(ocsp_urls=[world.publisher.url("/ocsp")], ocsp_nonce="require")
    for _ in (1, 2):
        assert not one.wire.closed
        await one.site.streams.rejudge(on_this_listener(other), world.clock.wall)
        await settle(other)
    assert one.wire.closed


def on_this_listener(identity):
    """Judges the streams of the test's edge as if they had come to the listener that asks for certificates."""

    async def rejudge(rights, now):
        return await identity.rejudge(
            [msgspec.structs.replace(right, listener=ADDRESS, token=None) for right in rights], now
        )

    return rejudge
