"""Lists and answers made by `openssl`, read by the real program: what an independent maker says is understood."""

import asyncio
import contextlib
import json
import signal
import socket
import time

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPCertStatus, OCSPRequestBuilder

from tests.functional.gateway import Gateway
from tests.functional.test_always_on import ALLOW, command, until_said
from tests.openssl import OpenSsl, needs_openssl
from tests.pki import Authority, new_key
from tests.publisher import NAMED_WITH, Publisher, delegate
from ztproxy.identity.revocation.crl import UnusableListError, lists_in
from ztproxy.identity.revocation.ocsp import UnusableAnswerError, question, read_answer

pytestmark = [pytest.mark.slow, needs_openssl]


@pytest.fixture
def ca(tmp_path):
    return OpenSsl(tmp_path / "openssl", Authority.new("Root"))


@pytest.fixture
def leaves(ca):
    made = ca.authority.issue("alice"), ca.authority.issue("mallory")
    ca.knows(*made)
    return made


def test_its_lists_are_understood(ca, leaves):
    _, revoked = leaves
    ca.revoke(revoked)
    (one,) = lists_in(ca.crl(), [ca.authority.certificate], "test")
    assert one.revoked == {revoked.certificate.serial_number}
    assert (one.complete, one.number, one.removed) == (True, 0x1000, frozenset())
    assert one.this_update <= time.time() < one.next_update


def test_a_list_signed_with_a_weak_hash(ca, leaves):
    with pytest.raises(UnusableListError, match="signed with sha1"):
        lists_in(ca.crl("-md", "sha1"), [ca.authority.certificate], "test")


def read(ca, answer, leaf, **options):
    return read_answer(answer, leaf.certificate, ca.authority.certificate, time.time(), **options)


def asked(ca, leaf, nonce=None):
    return question(leaf.certificate, ca.authority.certificate, nonce)


@pytest.mark.parametrize("kind", ["ec", "rsa", "rsa-pss", "delegate"])
def test_its_answers_are_understood(tmp_path, kind):
    ca = OpenSsl(tmp_path / "openssl", Authority.new("Root", key=new_key("rsa" if kind.startswith("rsa") else "ec")))
    good, revoked = ca.authority.issue(), ca.authority.issue()
    ca.knows(good, revoked)
    ca.revoke(revoked)
    options = ["-ndays", "1"]
    if kind == "rsa-pss":
        options += ["-rsigopt", "rsa_padding_mode:pss", "-rmd", "sha256"]
    signer = delegate(ca.authority) if kind == "delegate" else None
    nonce = bytes(range(32))
    for leaf, status in (
        (good, OCSPCertStatus.GOOD),
        (revoked, OCSPCertStatus.REVOKED),
        (ca.authority.issue(), OCSPCertStatus.UNKNOWN),
    ):
        answer = ca.answer(asked(ca, leaf, nonce), *options, signer=signer)
        found = read(ca, answer, leaf, nonce=nonce, nonce_required=True)
        assert (found.status, found.delegate is None) == (status, signer is None)


def test_an_answer_without_an_end(ca, leaves):
    found = read(ca, ca.answer(asked(ca, leaves[0])), leaves[0])
    assert found.next_update == found.this_update + 300


@pytest.mark.parametrize(
    ("options", "match"),
    [(["-rmd", "sha1"], "nobody who may answer"), (["-badsig"], "nobody who may answer")],
    ids=["weak", "broken"],
)
def test_an_answer_whose_signature_does_not_count(ca, leaves, options, match):
    with pytest.raises(UnusableAnswerError, match=match):
        read(ca, ca.answer(asked(ca, leaves[0]), "-ndays", "1", *options), leaves[0])


def test_two_answers_in_one(ca, leaves):
    """About the same certificate, named with two hashes: `cryptography` cannot make it, `openssl` does."""
    one = OCSPRequestBuilder().add_certificate(leaves[0].certificate, ca.authority.certificate, NAMED_WITH)
    single = one.build().public_bytes(Encoding.DER)
    both = doubled(single)
    with pytest.raises(UnusableAnswerError, match="more certificates"):
        read(ca, ca.answer(both, "-ndays", "1"), leaves[0])


def doubled(request: bytes) -> bytes:
    """A request with its one question asked twice: OCSPRequest { TBSRequest { SEQUENCE OF { Request } } }."""
    question = content(content(content(request)))
    return sequence(sequence(sequence(question + question)))


def content(element: bytes) -> bytes:
    assert element[0] == 0x30
    assert element[1] < 0x80
    return element[2 : 2 + element[1]]


def sequence(body: bytes) -> bytes:
    size = bytes([len(body)]) if len(body) < 0x80 else b"\x81" + bytes([len(body)])
    return b"\x30" + size + body


async def statuses(gateway: Gateway, leaf: object, times: int = 1) -> set[object]:
    """What requests over connections of their own are answered with."""
    found = set()
    for _ in range(times):
        async with gateway.session(leaf) as session, session.get("/x", headers=gateway.bearer()) as answer:
            refused = answer.content_type == "application/problem+json"
            found.add((await answer.json(content_type=None))["reason"] if refused else answer.status)
    return found


async def test_its_responder_is_asked_and_a_revoked_client_is_refused(tmp_path, ca, leaves):
    alice, mallory = leaves
    ca.revoke(mallory)
    signer = delegate(ca.authority)
    async with ca.responder(signer) as url:
        section = f', revocation: [{{authority: ca.pem, ocsp_urls: ["{url}"]}}]'
        async with Gateway(tmp_path, ca.authority, alice, rego=ALLOW, crl=section) as gateway:
            assert await statuses(gateway, alice) == {200}
            assert await statuses(gateway, mallory) == {"certificate-revoked"}
            stranger = ca.authority.issue("unknown to the responder")
            assert await statuses(gateway, stranger) == {"revocation-unknown"}


async def test_its_lists_are_fetched_and_kept_over_a_restart_while_the_server_is_away(tmp_path, ca, leaves):
    alice, mallory = leaves
    ca.revoke(mallory)
    more = f"admin: {{address: 'unix:{tmp_path}/admin.sock'}}"
    async with Publisher() as publisher:
        publisher.documents["/ca.crl"] = ca.crl()
        section = f', revocation: [{{authority: ca.pem, crl_urls: ["{publisher.url("/ca.crl")}"]}}]'
        async with Gateway(tmp_path, ca.authority, alice, rego=ALLOW, crl=section, more=more) as gateway:
            assert await statuses(gateway, mallory) == {"certificate-revoked"}
            assert await statuses(gateway, alice) == {200}
            code, said, _ = await command(gateway, "status", "--json")
            (known,) = json.loads(said)["revocation"]
            assert (code, known["source"], known["kind"], known["revoked"]) == (
                0, publisher.url("/ca.crl"), "list", 1,
            )  # fmt: skip
            await gateway.stop(signal.SIGTERM)
            await publisher.stop()
            await gateway.start()
            assert await statuses(gateway, mallory) == {"certificate-revoked"}
            assert await statuses(gateway, alice) == {200}
            code, said, _ = await command(gateway, "status")
            assert code == 0  # it is not due for an hour, so nobody has noticed that the server is away
            assert publisher.url("/ca.crl") in said


@pytest.mark.skipif(not hasattr(socket, "send_fds"), reason="needs sockets that are handed on to processes")
async def test_a_revocation_takes_effect_on_open_connections_of_all_workers(tmp_path, ca, leaves):
    alice, mallory = leaves
    (tmp_path / "ca.crl").write_bytes(ca.crl())
    more = "workers: 2"
    section = ", revocation: [{authority: ca.pem, crl: [ca.crl]}]"
    async with (
        Gateway(tmp_path, ca.authority, alice, rego=ALLOW, crl=section, more=more) as gateway,
        contextlib.AsyncExitStack() as opened,
    ):
        bearer = gateway.bearer()
        sessions = [await opened.enter_async_context(gateway.session(mallory)) for _ in range(8)]
        streams = [await opened.enter_async_context(one.ws_connect("/socket", headers=bearer)) for one in sessions]
        other = await opened.enter_async_context(gateway.session(alice))
        kept = await opened.enter_async_context(other.ws_connect("/socket", headers=bearer))
        for session in sessions:
            async with session.get("/x", headers=bearer) as answer:
                assert answer.status == 200
        assert len(gateway.workers()) == 2
        ca.revoke(mallory)
        (tmp_path / "ca.crl").write_bytes(ca.crl())
        gateway.signal(signal.SIGHUP)
        await until_said(gateway, "reloaded")
        for session in sessions:
            async with session.get("/x", headers=bearer) as answer:
                assert (answer.status, (await answer.json(content_type=None))["reason"]) == (403, "certificate-revoked")
        async with asyncio.timeout(20):
            assert {(await stream.receive()).extra for stream in streams} == {"certificate-revoked"}
        await kept.send_str("still here")
        assert await kept.receive_str() == "echo still here"
