"""A client keeps what trust gave it, on a connection that it began while that trust still held."""

import asyncio
import time

import pytest

from tests import pki
from tests.listening import MemoryClient, Recorder, asking, listener_settings, serving, until
from ztproxy.edge import contexts
from ztproxy.model import Certificate, Reason, Refusal

OLD, NEW = pki.Authority.new("Old"), pki.Authority.new("New")
pytestmark = pytest.mark.usefixtures("reading")


@pytest.fixture
def reading(monkeypatch):
    """The real reading of a chain in place of the recorder's."""
    from ztproxy.identity import describe

    monkeypatch.setattr("tests.listening.described", describe)


def built(folder, authority, mode="optional"):
    options = {} if authority is None else asking(folder, authority, mode)
    return contexts.build(listener_settings(folder, OLD, **options), time.time())


async def begun(service, folder, leaf):
    """A client that has sent its hello, and has yet to send what it shows."""
    client = MemoryClient(pki.client_context(OLD, leaf, folder))
    client.reader, client.writer = await asyncio.open_connection("127.0.0.1", service.port)
    with pytest.raises(Exception, match="did not complete"):
        client.tls.do_handshake()
    client.send()
    client.incoming.write(await client.reader.read(65536))
    client.tls.do_handshake()
    return client


@pytest.mark.parametrize(
    ("authority", "mode", "leaf", "judged"),
    [
        (NEW, "optional", "alice", Reason.CERTIFICATE_UNTRUSTED_HERE),
        (None, "off", "alice", "nobody"),
        (OLD, "required", None, Reason.CERTIFICATE_REQUIRED),
        (OLD, "required", "alice", "alice"),
    ],
)
async def test_a_handshake_that_ends_after_the_change_is_judged_by_it(tmp_path, authority, mode, leaf, judged):
    shown = None if leaf is None else OLD.issue(leaf)
    async with serving(listener_settings(tmp_path, OLD, **asking(tmp_path, OLD, "optional"))) as service:
        client = await begun(service, tmp_path, shown)
        service.listener.renew(service.application, built(tmp_path, authority, mode), service.failures.append)
        client.send()
        await until(lambda: service.applications)
        certificate = service.applications[0].connection.unchecked_certificate
        if isinstance(judged, Reason):
            assert isinstance(certificate, Refusal)
            assert certificate.reason is judged
        else:
            assert getattr(certificate, "common_name", "nobody") == judged
        client.writer.close()


async def test_an_open_connection_is_judged_anew(tmp_path):
    shown = OLD.issue("alice")
    async with serving(listener_settings(tmp_path, OLD, **asking(tmp_path, OLD))) as service:
        client = await MemoryClient(pki.client_context(OLD, shown, tmp_path)).connect(service.port)
        await until(lambda: service.applications)
        (application,) = service.applications
        assert isinstance(application, Recorder)
        assert isinstance(application.connection.unchecked_certificate, Certificate)
        service.listener.renew(service.application, built(tmp_path, NEW), service.failures.append)
        refusal = service.listener.judged_anew(application.connection).unchecked_certificate
        assert (refusal.reason, refusal.close) == (Reason.CERTIFICATE_UNTRUSTED_HERE, True)
        client.writer.close()


async def test_a_listener_never_turns_from_tls_to_plaintext(tmp_path):
    async with serving(listener_settings(tmp_path, OLD)) as service:
        with pytest.raises(ValueError, match="different listeners"):
            service.listener.renew(service.application, None, service.failures.append)
