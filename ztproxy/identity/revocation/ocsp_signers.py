"""Who may answer for an authority: itself, or whom it certified for that very purpose (RFC 6960 §4.2.2.2)."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from ztproxy.identity.revocation.crl import WEAK

_UNDERSTOOD = (
    x509.KeyUsage,
    x509.ExtendedKeyUsage,
    x509.BasicConstraints,
    x509.SubjectAlternativeName,
    x509.AuthorityKeyIdentifier,
    x509.SubjectKeyIdentifier,
    x509.OCSPNoCheck,
)
_PSS_HASHES = (hashes.SHA256(), hashes.SHA384(), hashes.SHA512())


class Signer(msgspec.Struct, frozen=True):
    """Who signed an answer and may."""

    delegate: int | None
    """Serial number of its certificate, where that may be revoked itself; None: the authority, or `ocsp-nocheck`."""


def signer_of(response: ocsp.OCSPResponse, issuer: x509.Certificate, now: float) -> Signer | None:
    """Who signed an answer; None: nobody who may answer for the issuer. `now` in seconds since 1970."""
    if _named(response, issuer) and _signed(response, issuer):
        return Signer(None)
    for certificate in _delegates(response.certificates, issuer, now):
        if _named(response, certificate) and _signed(response, certificate):
            return Signer(None if _has(certificate, x509.OCSPNoCheck) else certificate.serial_number)
    return None


def key_octets(certificate: x509.Certificate) -> bytes:
    """The public key's octets, without what says of which kind it is. Raises `ValueError`."""
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    raise ValueError("the authority's key is of a kind that signs no answers")


def _named(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    if response.responder_name is not None:
        return response.responder_name == certificate.subject
    return response.responder_key_hash == hashlib.sha1(key_octets(certificate), usedforsecurity=False).digest()


def _delegates(
    certificates: Iterable[x509.Certificate], issuer: x509.Certificate, now: float
) -> Iterator[x509.Certificate]:
    """Those that the authority itself issued for signing answers, and that are valid now."""
    at = datetime.fromtimestamp(now, UTC)
    for certificate in certificates:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            continue
        if any(one.critical and not isinstance(one.value, _UNDERSTOOD) for one in certificate.extensions):
            continue
        if _may_answer(certificate) and _issued(certificate, issuer):
            yield certificate


def _may_answer(certificate: x509.Certificate) -> bool:
    try:
        uses = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    if ExtendedKeyUsageOID.OCSP_SIGNING not in uses:
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    except x509.ExtensionNotFound:
        return True


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    hashed = certificate.signature_hash_algorithm
    if hashed is not None and hashed.name in WEAK:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _has(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> bool:
    return any(isinstance(one.value, kind) for one in certificate.extensions)


def _signed(response: ocsp.OCSPResponse, certificate: x509.Certificate) -> bool:
    """Whether a certificate's key made the signature, with a hash that is not weak."""
    key, signature, signed = certificate.public_key(), response.signature, response.tbs_response_bytes
    try:
        if isinstance(key, rsa.RSAPublicKey) and response.signature_algorithm_oid == SignatureAlgorithmOID.RSASSA_PSS:
            return any(_signed_pss(key, signature, signed, hashed) for hashed in _PSS_HASHES)
        hashed = response.signature_hash_algorithm
        if hashed is not None and hashed.name in WEAK:
            return False
        if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
            key.verify(signature, signed)
        elif isinstance(key, rsa.RSAPublicKey) and hashed is not None:
            key.verify(signature, signed, padding.PKCS1v15(), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey) and hashed is not None:
            key.verify(signature, signed, ec.ECDSA(hashed))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _signed_pss(key: rsa.RSAPublicKey, signature: bytes, signed: bytes, hashed: hashes.HashAlgorithm) -> bool:
    try:
        key.verify(signature, signed, padding.PSS(padding.MGF1(hashed), padding.PSS.AUTO), hashed)
    except InvalidSignature:
        return False
    return True
