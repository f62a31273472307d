"""A client certificate counts only if the listener's own authorities issued it, it is in date, and it is a client's.

What OpenSSL refuses in the handshake gets an alert and a line for the operator; what it lets through (version 1, an
authority's own certificate, no extended key usage) is refused by `identity/`, from the chain handed over here.
"""

import asyncio
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from tests import pki
from tests.listening import asking, exchange, listener_settings, serving, until

AUTHORITY = pki.Authority.new("Corp Root")
INTERMEDIATE = AUTHORITY.subordinate("Corp Issuing")
DEMANDING = AUTHORITY.subordinate("Corp Demanding", extensions=[(x509.PolicyConstraints(0, None), True)])
SAME_NAME = pki.Authority.new("Corp Root")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

REFUSED = {
    "another authority of the same name": (SAME_NAME.issue("alice"), "certificate verify failed", "ALERT"),
    "self-signed": (pki.self_signed("alice"), "certificate verify failed: self-signed certificate", "UNKNOWN_CA"),
    "expired": (
        AUTHORITY.issue("alice", not_after=pki.now() - pki.DAY / 2),
        "certificate verify failed: certificate has expired",
        "CERTIFICATE_EXPIRED",
    ),
    "not yet valid": (
        AUTHORITY.issue("alice", not_before=pki.now() + pki.DAY),
        "certificate verify failed: certificate is not yet valid",
        "BAD_CERTIFICATE",
    ),
    "a server's": (
        AUTHORITY.issue("alice", eku=(pki.SERVER,)),
        "certificate verify failed: unsuitable certificate purpose",
        "UNSUPPORTED_CERTIFICATE",
    ),
    "issued by a leaf": (
        AUTHORITY.issue("mallory").issue("alice"),
        "certificate verify failed: invalid CA certificate",
        "UNKNOWN_CA",
    ),
    "of an authority that demands a policy": (
        DEMANDING.issue("alice"),
        "certificate verify failed: no explicit policy",
        "ALERT",
    ),
    "below an intermediate that may have none below": (
        pki.Authority.subordinate(INTERMEDIATE, "too deep").issue("alice"),
        "certificate verify failed: path length constraint exceeded",
        "UNKNOWN_CA",
    ),
}


def attempt(port: int, context: ssl.SSLContext) -> bytes | ssl.SSLError:
    try:
        return exchange(port, context)
    except ssl.SSLError as refused:
        return refused


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["required", "optional"])
@pytest.mark.parametrize("kind", REFUSED)
async def test_refused_with_an_alert_and_a_line(tmp_path: Path, kind: str, mode: str, version: ssl.TLSVersion) -> None:
    leaf, cause, alert = REFUSED[kind]
    options = asking(tmp_path, AUTHORITY, mode) | {"minimum_version": "1.2"}
    async with serving(listener_settings(tmp_path, AUTHORITY, **options)) as service:
        context = pki.client_context(AUTHORITY, leaf, tmp_path, maximum=version)
        refused = await asyncio.to_thread(attempt, service.port, context)
        assert isinstance(refused, ssl.SSLError)
        assert alert in str(refused)  # said to the client, and not lost to a reset
        await until(lambda: service.failures)
        failed = service.failures[0]
        assert failed.cause.startswith(cause)
        assert failed.certificate_subject == leaf.certificate.subject.rfc4514_string()
        assert failed.certificate_fingerprint == leaf.fingerprint
        assert (failed.server_name, failed.peer) == ("localhost", "127.0.0.1")
        assert service.applications == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_required_and_none_shown(tmp_path: Path, version: ssl.TLSVersion) -> None:
    options = asking(tmp_path, AUTHORITY) | {"minimum_version": "1.2"}
    async with serving(listener_settings(tmp_path, AUTHORITY, **options)) as service:
        context = pki.client_context(AUTHORITY, maximum=version)
        refused = await asyncio.to_thread(attempt, service.port, context)
        assert isinstance(refused, ssl.SSLError)
        assert "ALERT" in str(refused)
        await until(lambda: service.failures)
        assert service.failures[0].cause == "peer did not return a certificate"
        assert service.failures[0].certificate_subject is None
        assert service.applications == []


@pytest.mark.parametrize(
    "leaf",
    [AUTHORITY.version_1(), AUTHORITY.issue("an authority", ca=True), AUTHORITY.issue("no usage", eku=None)],
    ids=["version 1", "authority as leaf", "no extended key usage"],
)
async def test_left_to_identity(tmp_path: Path, leaf: pki.Leaf) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))) as service:
        context = pki.client_context(AUTHORITY, leaf, tmp_path)
        assert await asyncio.to_thread(attempt, service.port, context) == b"ping"
        assert service.applications[0].connection.unchecked_certificate == (leaf.der, AUTHORITY.der)


async def test_intermediate_is_enough_and_admits_no_sibling(tmp_path: Path) -> None:
    sibling = AUTHORITY.subordinate("Corp Other")
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, INTERMEDIATE))) as service:
        leaf = INTERMEDIATE.issue("alice")
        context = pki.client_context(AUTHORITY, leaf, tmp_path)
        assert await asyncio.to_thread(attempt, service.port, context) == b"ping"
        assert service.applications[0].connection.unchecked_certificate == (leaf.der, INTERMEDIATE.der)
        for other in (sibling.issue("alice"), AUTHORITY.issue("alice")):
            refused = await asyncio.to_thread(attempt, service.port, pki.client_context(AUTHORITY, other, tmp_path))
            assert isinstance(refused, ssl.SSLError)


async def test_systems_authorities_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that the machine trusts (SSL_CERT_FILE) is nobody to a listener with its own."""
    system = pki.Authority.new("System Root")
    monkeypatch.setenv("SSL_CERT_FILE", str(system.write(tmp_path, "system")))
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))) as service:
        context = pki.client_context(AUTHORITY, system.issue("alice"), tmp_path)
        assert isinstance(await asyncio.to_thread(attempt, service.port, context), ssl.SSLError)


async def test_weak_keys_do_not_count(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - weak is the point
    weak = AUTHORITY.issue("weak", key=key)
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))) as service:
        context = pki.client_context(AUTHORITY)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(*weak.write(tmp_path, "weak"))
        assert isinstance(await asyncio.to_thread(attempt, service.port, context), ssl.SSLError)
        await until(lambda: service.failures)
        assert "too weak" in service.failures[0].cause
