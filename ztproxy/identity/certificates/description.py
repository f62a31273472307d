"""Client certificates: what is in one (RFC 5280 §4).

OpenSSL verified signatures, chain and dates in the handshake. Here is what it leaves or does too early to be explained.
"""

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID, PublicKeyAlgorithmOID

from ztproxy.config.spiffe_ids import is_spiffe
from ztproxy.identity.certificates.fitness import unsuitable
from ztproxy.identity.certificates.weak_rsa import is_computable
from ztproxy.model import Certificate, Reason, Refusal, Sans
from ztproxy.spiffe.svid import fault_of

MAXIMUM_CERTIFICATE = 65536
"""Octets of DER."""
MAXIMUM_CHAIN = 11
"""Certificates: OpenSSL's own depth is larger, no sensible chain is."""
MAXIMUM_NAMES = 256
"""Subject alternative names in one certificate."""
MAXIMUM_NAME = 4096
"""Characters of a subject, an issuer or an alternative name."""
REMEMBERED = 1024
"""Chains whose reading is remembered, those seen last."""
WORTH_REMEMBERING = 16384
"""Octets of a chain that is remembered: no sensible one is longer, and so much memory they may take."""
_RSA = (PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5, PublicKeyAlgorithmOID.RSASSA_PSS)
_SERIAL_BITS = 159
"""Of the largest positive one that takes 20 octets (RFC 5280 §4.1.2.2)."""
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNREADABLE = (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class _UnsuitableError(Exception):
    pass


def describe(chain: tuple[bytes, ...]) -> Certificate | Refusal:
    """What a verified chain says, the leaf first; a refusal when it cannot be read or has more than one reading.

    Called once a connection. What it names is bounded and printable: it goes into logs and the policy's input. What was
    read is remembered by every octet that it was read from, and is no verdict: dates, revocation and authorities are
    judged on each request.
    """
    return _remembered(chain) if sum(map(len, chain)) <= WORTH_REMEMBERING else _read(chain)


@functools.lru_cache(maxsize=REMEMBERED)
def _remembered(chain: tuple[bytes, ...]) -> Certificate | Refusal:
    return _read(chain)


def _read(chain: tuple[bytes, ...]) -> Certificate | Refusal:
    if not 0 < len(chain) <= MAXIMUM_CHAIN or any(len(der) > MAXIMUM_CERTIFICATE for der in chain):
        return unsuitable("It, or its chain, is too long.")
    try:
        if not all(is_authority(der) for der in chain[1:]):
            return unsuitable("One that is no authority issued it.")
        return _describe(chain)
    except _UnsuitableError as wrong:
        return unsuitable(str(wrong))
    except _UNREADABLE as wrong:
        return Refusal(Reason.CERTIFICATE_UNSUITABLE, "It cannot be read.", f"{type(wrong).__name__}: {wrong}")


@functools.lru_cache(maxsize=256)
def is_authority(der: bytes) -> bool:
    """Whether a certificate may issue others (RFC 5280 §4.2.1.9); remembered, since chains share their upper part."""
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _describe(chain: tuple[bytes, ...]) -> Certificate:
    leaf = x509.load_der_x509_certificate(chain[0])
    extensions: dict[type, Any] = {type(one.value): one.value for one in leaf.extensions}
    sans = _sans(extensions.get(x509.SubjectAlternativeName, ()))
    usage = extensions.get(x509.ExtendedKeyUsage)
    constraints = extensions.get(x509.BasicConstraints)
    ca = constraints is not None and constraints.ca
    if leaf.serial_number <= 0:
        raise _UnsuitableError("Its serial number is not positive.")
    if leaf.serial_number.bit_length() > _SERIAL_BITS:
        raise _UnsuitableError("Its serial number is longer than 20 octets.")
    if x509.NameConstraints in extensions:
        raise _UnsuitableError("It carries name constraints, which only an authority's may.")
    if _has_computable_key(leaf):
        raise _UnsuitableError("Its private key can be computed from it (ROCA).")
    common_names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(common_names) > 1:
        raise _UnsuitableError("It has more than one common name.")
    return Certificate(
        der=chain[0],
        subject=_printable(leaf.subject.rfc4514_string()),
        common_name=_printable(str(common_names[0].value)) if common_names else None,
        sans=sans,
        spiffe_id=_spiffe_id(sans.uri, extensions.get(x509.KeyUsage), is_authority=ca),
        issuer=_printable(leaf.issuer.rfc4514_string()),
        serial=f"{leaf.serial_number:x}",
        fingerprint=hashlib.sha256(chain[0]).hexdigest(),
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
        version=leaf.version.value + 1,
        is_authority=ca,
        extended_key_usage=None if usage is None else tuple(oid.dotted_string for oid in usage),
        chain=chain,
    )


def _has_computable_key(leaf: x509.Certificate) -> bool:
    """CVE-2017-15361, which was in smart cards; OpenSSL checked the key's size, and knows nothing of this."""
    if leaf.public_key_algorithm_oid not in _RSA:
        return False
    key = leaf.public_key()
    return isinstance(key, RSAPublicKey) and is_computable(key.public_numbers().n)


def _sans(names: Sequence[x509.GeneralName] | x509.SubjectAlternativeName) -> Sans:
    found: dict[type, list[str]] = {
        x509.DNSName: [],
        x509.UniformResourceIdentifier: [],
        x509.RFC822Name: [],
        x509.IPAddress: [],
    }
    for count, name in enumerate(names):
        if count >= MAXIMUM_NAMES:
            raise _UnsuitableError("It has too many names.")
        if type(name) in found:
            found[type(name)].append(_printable(str(name.value)))
    return Sans(
        dns=tuple(name.lower() for name in found[x509.DNSName]),
        uri=tuple(found[x509.UniformResourceIdentifier]),
        email=tuple(map(_email, found[x509.RFC822Name])),
        ip=tuple(found[x509.IPAddress]),
    )


def _email(address: str) -> str:
    """The domain in lower case; two `@` have two readings (GHSA-c5c4-8r6x-56w3)."""
    local, at, domain = address.partition("@")
    if "@" in domain:
        raise _UnsuitableError("It has an e-mail address with more than one @.")
    return local + at + domain.lower()


def _spiffe_id(uris: Sequence[str], usage: x509.KeyUsage | None, *, is_authority: bool) -> str | None:
    """The one SPIFFE ID of an X509-SVID: what is none carries no ID, and one with two of them is refused.

    Raises `_UnsuitableError`.
    """
    if sum(map(is_spiffe, uris)) > 1:
        raise _UnsuitableError("It has more than one SPIFFE ID.")
    return uris[0] if uris and fault_of(uris, usage, is_authority=is_authority) is None else None


def _printable(text: str) -> str:
    if len(text) > MAXIMUM_NAME or _UNPRINTABLE.search(text):
        raise _UnsuitableError("A name in it is too long or cannot be printed.")
    return text
