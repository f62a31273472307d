"""Which certificate is shown under which name, and what stops the start."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests import pki
from tests.listening import asking, dial, listener_settings, serving
from ztproxy.config import settings
from ztproxy.edge.contexts import ContextError, build, read_authorities

AUTHORITY = pki.Authority.new()
NOW = time.time()


def built(folder: Path, *servers: pki.Leaf, **options):
    return build(listener_settings(folder, AUTHORITY, *servers, **options), NOW)


def certificate_under(port: int, name: str | None) -> str:
    context = pki.client_context(AUTHORITY, check_hostname=False)
    with dial(port) as raw, context.wrap_socket(raw, server_hostname=name) as tls:
        der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).subject.rfc4514_string()


async def test_server_name_picks_the_certificate(tmp_path: Path) -> None:
    servers = (
        AUTHORITY.server("default.example"),
        AUTHORITY.server("orders.example", "Shop.Example"),
        AUTHORITY.server("*.apps.example"),
        AUTHORITY.server("exact.apps.example"),
    )
    async with serving(listener_settings(tmp_path, AUTHORITY, *servers)) as service:
        for name, shown in {
            "default.example": "default.example",
            "orders.example": "orders.example",
            "ORDERS.Example": "orders.example",
            "shop.example": "orders.example",
            "x.apps.example": "*.apps.example",
            "exact.apps.example": "exact.apps.example",
            "x.y.apps.example": "default.example",
            "apps.example": "default.example",
            "unknown.example": "default.example",
            None: "default.example",
        }.items():
            assert await asyncio.to_thread(certificate_under, service.port, name) == f"CN={shown}", name
        assert {a.connection.tls.server_name for a in service.applications if a.connection.tls} >= {
            "orders.example",
            "unknown.example",
            None,
        }


def test_versions(tmp_path: Path) -> None:
    plain, asked = built(tmp_path), built(tmp_path, **asking(tmp_path, AUTHORITY))
    stated = built(tmp_path, **asking(tmp_path, AUTHORITY), minimum_version="1.2")
    assert plain.default.minimum_version == ssl.TLSVersion.TLSv1_2
    assert asked.default.minimum_version == ssl.TLSVersion.TLSv1_3
    assert stated.default.minimum_version == ssl.TLSVersion.TLSv1_2
    assert built(tmp_path, minimum_version="1.3").default.minimum_version == ssl.TLSVersion.TLSv1_3


def test_suites_are_aead_with_forward_secrecy(tmp_path: Path) -> None:
    suites = built(tmp_path).default.get_ciphers()
    assert suites
    for suite in suites:
        assert suite["aead"], suite["name"]
        assert suite["protocol"] == "TLSv1.3" or suite["name"].startswith("ECDHE-"), suite["name"]


def test_options(tmp_path: Path) -> None:
    asked = built(tmp_path, AUTHORITY.server("a"), AUTHORITY.server("b"), **asking(tmp_path, AUTHORITY))
    assert asked.asks
    for context in {asked.default, *asked.by_name.values()}:
        for option in (
            ssl.OP_NO_RENEGOTIATION,
            ssl.OP_NO_COMPRESSION,
            ssl.OP_CIPHER_SERVER_PREFERENCE,
            ssl.OP_NO_TICKET,
        ):
            assert context.options & option
        assert context.num_tickets == 0
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.verify_flags & ssl.VERIFY_X509_STRICT
        assert len(context.get_ca_certs()) == 1
    optional = built(tmp_path, **asking(tmp_path, AUTHORITY, "optional"))
    assert optional.default.verify_mode is ssl.CERT_OPTIONAL
    off = built(tmp_path)
    assert off.default.verify_mode is ssl.CERT_NONE
    assert not off.asks
    assert off.default.get_ca_certs() == []


async def test_protocol_is_negotiated(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def negotiated() -> str | None:
            context = pki.client_context(AUTHORITY)
            context.set_alpn_protocols(["h2", "http/1.1"])
            with dial(service.port) as raw, context.wrap_socket(raw, server_hostname="localhost") as tls:
                return tls.selected_alpn_protocol()

        assert await asyncio.to_thread(negotiated) == "http/1.1"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        (b"", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate"),
        (b"\x00\xff binary", "holds no certificate"),
        (pki.key_pem(AUTHORITY.key), "holds no certificate"),
        (AUTHORITY.crl().public_bytes(serialization.Encoding.PEM), "holds no certificate"),
        (pki.pem_of([AUTHORITY.issue("leaf").certificate]), "CN=leaf is not an authority's certificate"),
        (AUTHORITY.pem + pki.pem_of([AUTHORITY.issue("leaf").certificate]), "CN=leaf is not an authority's"),
        (AUTHORITY.pem + b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds no certificate"),
    ],
    ids=["absent", "empty", "broken", "binary", "a key", "a CRL", "a leaf", "a leaf among them", "one broken"],
)
def test_broken_authorities_stop_the_start(tmp_path: Path, content: bytes | None, said: str) -> None:
    """CVE-2026-27586: a file of authorities that cannot be read must not fall back to the system's."""
    path = tmp_path / "client-ca.pem"
    configured = listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ContextError, match=r".*client-ca\.pem: ") as refused:
        build(configured, NOW)
    assert said in str(refused.value)


def test_directory_as_authorities_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="Is a directory"):
        read_authorities(tmp_path)


def pair(certificate: Path, key: Path) -> settings.Listener:
    return settings.Listener.model_validate(
        {"address": "127.0.0.1:0", "certificates": [{"certificate": certificate, "key": key}]}
    )


def test_key_of_another_certificate(tmp_path: Path) -> None:
    certificate, _ = AUTHORITY.server().write(tmp_path, "one")
    _, key = AUTHORITY.server().write(tmp_path, "two")
    with pytest.raises(ContextError, match=r"two\.key: is not the key of .*one\.pem"):
        build(pair(certificate, key), NOW)


def test_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    leaf = AUTHORITY.server()
    certificate, key = leaf.write(tmp_path)
    key.write_bytes(
        leaf.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(ContextError, match=r"leaf\.key: the key is encrypted"):
        build(pair(certificate, key), NOW)


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    certificate, key = AUTHORITY.server().write(tmp_path)
    for path in AUTHORITY.server().write(tmp_path, "gone"):
        configured = pair(*AUTHORITY.server().write(tmp_path, "gone"))
        path.unlink()
        with pytest.raises(ContextError, match=rf"{path.name}: No such file"):
            build(configured, NOW)
    with pytest.raises(ContextError, match=r"leaf\.key: holds no certificate"):
        build(pair(key, key), NOW)
    with pytest.raises(ContextError, match=r"leaf\.pem: certificate or key cannot be used"):
        build(pair(certificate, certificate), NOW)


def test_doubts_are_said(tmp_path: Path) -> None:
    assert built(tmp_path).warnings == ()
    expired = AUTHORITY.server(not_after=pki.now() - pki.DAY / 2)
    (said,) = built(tmp_path, expired).warnings
    assert "server-0.pem: expired on 20" in said
    (said,) = built(tmp_path, AUTHORITY.server(not_before=pki.now() + pki.DAY)).warnings
    assert "not valid before" in said
    (said,) = built(tmp_path, AUTHORITY.issue("nameless", eku=(pki.SERVER,))).warnings
    assert "names no DNS name" in said
    certificate, key = AUTHORITY.server().write(tmp_path)
    key.chmod(0o644)
    (said,) = build(pair(certificate, key), NOW).warnings
    assert "leaf.key: others than its owner can read the key" in said


def test_the_end_of_each_certificate_is_known(tmp_path: Path) -> None:
    made = built(tmp_path, AUTHORITY.server(), AUTHORITY.server("b.example"), **asking(tmp_path, AUTHORITY))
    ends = [(use, file.name) for use, file, _ in made.ends]
    assert ends == [("authority", "client-ca.pem"), ("listener", "server-0.pem"), ("listener", "server-1.pem")]
    shown = x509.load_pem_x509_certificate((tmp_path / "server-0.pem").read_bytes())
    assert made.ends[1][2] == shown.not_valid_after_utc.timestamp()
