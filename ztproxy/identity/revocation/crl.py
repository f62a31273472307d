"""One revocation list, complete or delta, read and verified (RFC 5280 §5, §6.3)."""

import functools
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
from ztproxy.identity.revocation.pointers import freshest_of, uris

_BEGIN = b"-----BEGIN X509 CRL-----"
_PEM = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)
_UNDERSTOOD = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CRL_NUMBER,
    ExtensionOID.DELTA_CRL_INDICATOR,
    ExtensionOID.ISSUER_ALTERNATIVE_NAME,
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    ExtensionOID.FRESHEST_CRL,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}
_ENTRY_UNDERSTOOD = {CRLEntryExtensionOID.CRL_REASON, CRLEntryExtensionOID.INVALIDITY_DATE}
WEAK = ("md5", "sha1")
"""Hashes under which somebody else's octets may have been signed."""
_SIGNING_KEYS = (
    rsa.RSAPublicKey,
    ec.EllipticCurvePublicKey,
    dsa.DSAPublicKey,
    ed25519.Ed25519PublicKey,
    ed448.Ed448PublicKey,
)
_UNREADABLE = (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)

AuthorityId = tuple[bytes, bytes]
"""An authority's name and public key, both DER: another key under the same name is another authority."""


class UnusableListError(Exception):
    """It is no revocation list, or nobody's who may sign one; the message says which."""


class RevocationList(msgspec.Struct, frozen=True):
    """A list whose signature by its authority was verified. Times are seconds since 1970."""

    authority: AuthorityId
    name: str
    revoked: frozenset[int]
    """Serial numbers."""
    this_update: float
    next_update: float
    understood: bool
    """Whether absence from it can mean anything: not for indirect and partial lists, or what is not understood."""
    for_users: bool = True
    for_authorities: bool = True
    points: frozenset[str] | None = None
    """Only for certificates that name one of these distribution points; None: for all."""
    number: int | None = None
    base: int | None = None
    """A delta list: it tells what has changed since the complete list of this number (§5.2.4)."""
    removed: frozenset[int] = frozenset()
    """Serial numbers that a delta takes back (`removeFromCRL`)."""
    scope: bytes = b""
    """Its issuing distribution point as DER: only lists of one scope belong together."""
    freshest: frozenset[str] = frozenset()
    """Where it says that its deltas are."""
    source: str = ""
    """The file or URL that it is from."""

    @property
    def complete(self) -> bool:
        """Whether its silence means something by itself."""
        return self.understood and self.base is None


@functools.lru_cache(maxsize=256)
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
        return lists_in(path.read_bytes(), authorities, str(path))
    except OSError as wrong:
        raise IdentityConfigError(key, f"{path} cannot be read: {wrong.strerror}") from wrong
    except UnusableListError as wrong:
        raise IdentityConfigError(key, f"{path}: {wrong}") from wrong


def lists_in(data: bytes, authorities: Sequence[x509.Certificate], source: str) -> tuple[RevocationList, ...]:
    """The lists in what a file or server gave, at least one, PEM or DER. Raises `UnusableListError`.

    Args:
        data: as it was given.
        authorities: who may have signed them.
        source: where it is from.
    """
    try:
        parts = _PEM.findall(data)
        if len(parts) != data.count(_BEGIN):
            raise UnusableListError("a revocation list in it has no end")
        parsed = [x509.load_pem_x509_crl(part) for part in parts] or [x509.load_der_x509_crl(data)]
        return tuple(_verified(crl, authorities, source) for crl in parsed)
    except _UNREADABLE as wrong:
        raise UnusableListError("it holds no readable revocation list") from wrong


def _verified(
    crl: x509.CertificateRevocationList, authorities: Iterable[x509.Certificate], source: str
) -> RevocationList:
    name = crl.issuer.rfc4514_string()
    hashed = crl.signature_hash_algorithm
    if hashed is not None and hashed.name in WEAK:
        raise UnusableListError(f"the list of {name!r} is signed with {hashed.name}")
    for authority in authorities:
        if authority.subject == crl.issuer and may_sign_lists(authority):
            public = authority.public_key()
            if isinstance(public, _SIGNING_KEYS) and crl.is_signature_valid(public):
                return _read(crl, authority, source)
    raise UnusableListError(f"the list of {name!r} was signed by none of the authorities named for it")


def may_sign_lists(authority: x509.Certificate) -> bool:
    """Whether an authority's key usage leaves it revocation lists (§4.2.1.3)."""
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _read(crl: x509.CertificateRevocationList, authority: x509.Certificate, source: str) -> RevocationList:
    scope = _extension(crl, x509.IssuingDistributionPoint)
    delta = _extension(crl, x509.DeltaCRLIndicator)
    number = _extension(crl, x509.CRLNumber)
    understood = all(extension.oid in _UNDERSTOOD for extension in crl.extensions if extension.critical)
    if scope is not None:
        understood = understood and not (
            scope.indirect_crl or scope.only_some_reasons or scope.only_contains_attribute_certs or scope.relative_name
        )
    revoked, removed, clear = _entries(crl, is_delta=delta is not None)
    ours = _names_its_own(scope)
    next_update = crl.next_update_utc
    return RevocationList(
        authority=authority_id(authority),
        name=authority.subject.rfc4514_string(),
        revoked=revoked if ours else frozenset(),
        this_update=crl.last_update_utc.timestamp(),
        next_update=next_update.timestamp() if next_update is not None else float("-inf"),
        understood=understood and clear,
        for_users=scope is None or not scope.only_contains_ca_certs,
        for_authorities=scope is None or not scope.only_contains_user_certs,
        points=None if scope is None or not scope.full_name else uris(scope.full_name),
        number=None if number is None else number.crl_number,
        base=None if delta is None else delta.crl_number,
        removed=removed if ours else frozenset(),
        scope=b"" if scope is None else scope.public_bytes(),
        freshest=freshest_of(crl.extensions),
        source=source,
    )


def _entries(crl: x509.CertificateRevocationList, *, is_delta: bool) -> tuple[frozenset[int], frozenset[int], bool]:
    """Serial numbers revoked, those taken back, and whether all that is said of them was understood.

    Only a delta takes back; in a complete list such an entry is a revoked one.
    """
    revoked: set[int] = set()
    removed: set[int] = set()
    clear = True
    for entry in crl:
        taken_back = False
        for extension in entry.extensions:
            if is_delta and isinstance(extension.value, x509.CRLReason):
                taken_back = extension.value.reason is x509.ReasonFlags.remove_from_crl
            if extension.critical and extension.oid not in _ENTRY_UNDERSTOOD:
                clear = False
        (removed if taken_back else revoked).add(entry.serial_number)
    return frozenset(revoked), frozenset(removed), clear


def _names_its_own(scope: x509.IssuingDistributionPoint | None) -> bool:
    """Whether its serial numbers are those of its own authority: in an indirect list they can be another's."""
    return scope is None or not scope.indirect_crl


def _extension(crl: x509.CertificateRevocationList, kind: Any) -> Any:
    try:
        return crl.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
