"""X509-SVIDs: what makes a certificate one (X509-SVID §2-§5), and our own read and checked."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from ztproxy.config.spiffe_ids import is_spiffe, is_workload_id, trust_domain_of
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Svid

UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What `cryptography` raises about a certificate that is none."""
MAXIMUM_CHAIN = 11


def fault_of(uris: Sequence[str], usage: x509.KeyUsage | None, *, is_authority: bool) -> str | None:
    """Why a certificate is no X509-SVID; None when it is one.

    Args:
        uris: all its URI names, as written.
        usage: its key usage, None where it says nothing.
        is_authority: whether its basic constraints say so.
    """
    if not any(map(is_spiffe, uris)):
        return "it has no SPIFFE ID"
    if len(uris) > 1:
        return "it has more than one URI name"
    if not is_workload_id(uris[0]):
        return "its URI is no workload's SPIFFE ID: a trust domain in lower case, a path, nothing encoded"
    if is_authority:
        return "it is an authority's"
    if usage is None or not usage.digital_signature:
        return "its key usage does not name digital signatures"
    if usage.key_cert_sign or usage.crl_sign:
        return "its key usage lets it sign certificates or revocation lists"
    return None


def fault_in(der: bytes) -> str | None:
    """The same of a certificate as DER."""
    try:
        extensions: dict[type, Any] = {
            type(one.value): one.value for one in x509.load_der_x509_certificate(der).extensions
        }
        names = extensions.get(x509.SubjectAlternativeName)
        uris = names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []
    except UNREADABLE:
        return "it cannot be read"
    constraints = extensions.get(x509.BasicConstraints)
    is_authority = constraints is not None and constraints.ca
    return fault_of(uris, extensions.get(x509.KeyUsage), is_authority=is_authority)


def spiffe_id_in(der: bytes) -> str | None:
    """The SPIFFE ID of a certificate, None when it is no X509-SVID."""
    if fault_in(der) is not None:
        return None
    names = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]


def own(chain: Sequence[x509.Certificate], key: PrivateKeyTypes, trust_domain: str, source: str, now: float) -> Svid:
    """Our own SVID, fit to be shown.

    Args:
        chain: the leaf first.
        key: its private key, of `cryptography`.
        trust_domain: which it has to be of.
        source: names it in errors.
        now: seconds since 1970.

    Raises:
        SpiffeError: it is no SVID, of another trust domain, not of now, or the key is another's.
    """
    if not 0 < len(chain) <= MAXIMUM_CHAIN:
        raise SpiffeError(f"{source}: holds no certificate, or too many")
    leaf = chain[0]
    ders = tuple(one.public_bytes(serialization.Encoding.DER) for one in chain)
    if fault := fault_in(ders[0]):
        raise SpiffeError(f"{source}: is no X509-SVID: {fault}")
    spiffe_id = spiffe_id_in(ders[0]) or ""
    if trust_domain_of(spiffe_id) != trust_domain:
        raise SpiffeError(f"{source}: {spiffe_id} is not of our trust domain, {trust_domain}")
    if _public(key.public_key()) != _public(leaf.public_key()):
        raise SpiffeError(f"{source}: the key is not the certificate's")
    at = datetime.fromtimestamp(now, UTC)
    if at >= leaf.not_valid_after_utc:
        raise SpiffeError(f"{source}: expired on {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    return Svid(
        spiffe_id,
        ders,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded
