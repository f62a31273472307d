"""A trust domain whose bundle was withdrawn has no workloads: it is taken up, and nobody of it gets a handshake."""

import asyncio
import ssl
import time

import pytest

from tests.listening import exchange, listener_settings, serving
from tests.pki import Authority, client_context
from tests.workloads import Domain, workload
from ztproxy.edge import contexts
from ztproxy.identity import describe
from ztproxy.model import Reason
from ztproxy.spiffe.workload import Bundle, Workload

ROOT = Authority.new("Servers")
PROD, PARTNER = Domain("prod.example"), Domain("partner.example")
PARTNER_ONLY = {"client_certificates": {"mode": "required", "trust_domains": ["partner.example"]}}


def known(*authorities):
    federated = Bundle(tuple(one.der for one in authorities))
    return Workload("a test", None, {"prod.example": Bundle((PROD.authority.der,)), "partner.example": federated})


async def test_new_handshakes_fail_and_open_connections_end(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.listening.described", describe)
    said = listener_settings(tmp_path, ROOT, **PARTNER_ONLY)
    built = contexts.build(said, time.time(), known(PARTNER.authority))
    monkeypatch.setattr("tests.listening.contexts.build", lambda *_: built)
    leaf = PARTNER.svid("/buyer")
    async with serving(said) as service:
        client = client_context(ROOT, leaf, tmp_path)
        assert await asyncio.to_thread(exchange, service.port, client) == b"ping"
        connection = service.applications[0].connection
        monkeypatch.undo()
        withdrawn = contexts.build(said, time.time(), known())
        service.listener.renew(service.application, withdrawn, service.failures.append)
        judged = service.listener.judged_anew(connection).unchecked_certificate
        assert (judged.reason, judged.close) == (Reason.CERTIFICATE_UNTRUSTED_HERE, True)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(exchange, service.port, client)


def test_whom_a_listener_trusts_is_exactly_its_trust_domains(tmp_path):
    said = listener_settings(tmp_path, ROOT, **PARTNER_ONLY)
    assert contexts.build(said, time.time(), workload(PROD, PARTNER)).authorities == {PARTNER.authority.der}
