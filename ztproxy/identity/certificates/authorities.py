"""Certificates of authorities from PEM files. What cannot be read stops the start: nothing falls back to other trust.

A file that could not be read and system roots in its place is CVE-2026-27586 (Caddy).
"""

import ssl
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.identity.errors import IdentityConfigError


def read_authorities(path: Path, key: str) -> tuple[x509.Certificate, ...]:
    """The certificates in a PEM file; at least one. Raises `IdentityConfigError` that names `key` and the file."""
    try:
        certificates = tuple(x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as wrong:
        raise IdentityConfigError(key, f"{path} cannot be read: {wrong.strerror}") from wrong
    except ValueError as wrong:
        raise IdentityConfigError(key, f"{path} holds no readable PEM certificate") from wrong
    if not certificates:
        raise IdentityConfigError(key, f"{path} holds no certificate")
    return certificates


def der_of(certificates: Iterable[x509.Certificate]) -> frozenset[bytes]:
    """The certificates as DER, to be compared."""
    return frozenset(certificate.public_bytes(Encoding.DER) for certificate in certificates)


def trust_in(paths: tuple[Path, ...], key: str, shown: tuple[str, str] | None = None) -> ssl.SSLContext:
    """How a server that we ask is verified: with these authorities alone, or the system's when none are named.

    Args:
        paths: the authorities' files.
        key: where they are configured.
        shown: files of the certificate and of its key that we show the server, if it asks.

    Raises:
        IdentityConfigError: something cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if shown is not None:
        try:
            context.load_cert_chain(*shown, password=_refuse_password)
        except (OSError, ValueError) as wrong:
            said = getattr(wrong, "reason", None) or getattr(wrong, "strerror", None) or wrong
            raise IdentityConfigError(key, f"{shown[0]} is unusable with {shown[1]}: {said}") from wrong
    if not paths:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return context
    for path in paths:
        for certificate in read_authorities(path, key):
            context.load_verify_locations(cadata=certificate.public_bytes(Encoding.DER))
    return context


def _refuse_password() -> str:
    raise ValueError("the key is encrypted")
