"""One revocation list, read and verified (RFC 5280 §5, §6.3)."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from ztproxy.identity.errors import IdentityConfigError

_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_UNDERSTOOD = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CRL_NUMBER,
    ExtensionOID.ISSUER_ALTERNATIVE_NAME,
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    ExtensionOID.FRESHEST_CRL,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}
_ENTRY_UNDERSTOOD = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE}
_SIGNING_KEYS = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    dsa.DSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)

AuthorityId = tuple[bytes, bytes]
"""An authority's name and public key, both DER: another key under the same name is another authority."""


class RevocationList(msgspec.Struct, frozen=True):
    """A list whose signature by its authority was verified. Times are seconds since 1970."""

    authority: AuthorityId
    name: str
    revoked: frozenset[int]
    """Serial numbers."""
    this_update: float
    next_update: float
    complete: bool
    """Whether absence from it means anything: not for delta, indirect and partial lists, or what is not understood."""
    for_users: bool = True
    for_authorities: bool = True
    points: frozenset[str] | None = None
    """Only for certificates that name one of these distribution points; None: for all."""


def authority_id(certificate: x509.Certificate) -> AuthorityId:
    """The name and key that a certificate gives to an authority."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.subject.public_bytes(), key


def read_lists(path: Path, authorities: Sequence[x509.Certificate], key: str) -> tuple[RevocationList, ...]:
    """The lists in a file, PEM or DER. Raises `IdentityConfigError` naming the file, also when one is nobody's.

    Args:
        path: the file.
        authorities: who may have signed them.
        key: the place in the configuration that names the file.
    """
    try:
        data = path.read_bytes()
        parts = _PEM.findall(data)
        if len(parts) != data.count(_BEGIN):
            raise ValueError("a list in it has no end")  # noqa: TRY301 - told like every other unreadable list
        parsed = [x509.load_pem_x509_crl(part) for part in parts] or [x509.load_der_x509_crl(data)]
        return tuple(_verified(crl, authorities) for crl in parsed)
    except OSError as wrong:
        raise IdentityConfigError(key, f"{path} cannot be read: {wrong.strerror}") from wrong
    except LookupError as wrong:
        raise IdentityConfigError(key, f"{path}: {wrong.args[0]}") from wrong
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as wrong:
        raise IdentityConfigError(key, f"{path} holds no readable revocation list") from wrong


def _verified(crl: x509.CertificateRevocationList, authorities: Iterable[x509.Certificate]) -> RevocationList:
    for authority in authorities:
        if authority.subject == crl.issuer and _may_sign(authority):
            public = authority.public_key()
            if isinstance(public, _SIGNING_KEYS) and crl.is_signature_valid(public):
                return _read(crl, authority)
    name = crl.issuer.rfc4514_string()
    raise LookupError(f"the list of {name!r} was signed by none of the listener's authorities")


def _may_sign(authority: x509.Certificate) -> bool:
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _read(crl: x509.CertificateRevocationList, authority: x509.Certificate) -> RevocationList:
    scope = _extension(crl, x509.IssuingDistributionPoint)
    complete = all(extension.oid in _UNDERSTOOD for extension in crl.extensions if extension.critical)
    complete = complete and _extension(crl, x509.DeltaCRLIndicator) is None
    points = None
    if scope is not None:
        complete = complete and not (
            scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs or scope.relative_name
        )
        points = _uris(scope.full_name) if scope.full_name else None
    revoked = set()
    for entry in crl:
        revoked.add(entry.serial_number)
        complete = complete and all(e.oid in _ENTRY_UNDERSTOOD for e in entry.extensions if e.critical)
    next_update = crl.next_update_utc
    return RevocationList(
        authority=authority_id(authority),
        name=authority.subject.rfc4514_string(),
        revoked=frozenset(revoked) if _names_its_own(scope) else frozenset(),
        this_update=crl.last_update_utc.timestamp(),
        next_update=next_update.timestamp() if next_update is not None else float("-inf"),
        complete=complete,
        for_users=scope is None or not scope.only_contains_ca_certs,
        for_authorities=scope is None or not scope.only_contains_user_certs,
        points=points,
    )


def _names_its_own(scope: x509.IssuingDistributionPoint | None) -> bool:
    """Whether its serial numbers are those of its own authority: in an indirect list they can be another's."""
    return scope is None or not scope.indirect_crl


def _extension(crl: x509.CertificateRevocationList, kind: Any) -> Any:
    try:
        return crl.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def points_of(certificate: x509.Certificate) -> frozenset[str]:
    """The distribution points that a certificate names for all reasons and its own authority (§4.2.1.13)."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset().union(
        *(_uris(point.full_name) for point in points if point.full_name and not point.reasons and not point.crl_issuer)
    )


def _uris(names: Iterable[x509.GeneralName]) -> frozenset[str]:
    return frozenset(name.value for name in names if isinstance(name, x509.UniformResourceIdentifier))
