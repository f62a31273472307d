"""Trust bundles: PEM certificates, or a SPIFFE bundle in JSON (SPIFFE Trust Domain and Bundle §4)."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.svid import UNREADABLE
from ztproxy.spiffe.workload import Bundle

MAXIMUM_AUTHORITIES = 256
"""Certificates in one bundle."""


def read(content: bytes, source: str, now: float) -> Bundle:
    """The bundle in a file.

    Args:
        content: of the file, PEM or JSON.
        source: names it in errors.
        now: seconds since 1970: since when it is as it is.

    Raises:
        SpiffeError: it cannot be read, or vouches for nobody: an empty bundle is nobody's wish.
    """
    document = _json(content)
    if document is None:
        return of(_pem(content, source), [], source, now)
    members = document.get("keys")
    if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
        raise SpiffeError(f"{source}: is JSON, but no SPIFFE bundle: it has no list `keys`")
    authorities = [_x5c(one, source) for one in members if one.get("use") == "x509-svid" and one.get("x5c")]
    return of(authorities, [one for one in members if one.get("use") == "jwt-svid"], source, now)


def of(authorities: Iterable[x509.Certificate], keys: Iterable[Mapping[str, Any]], source: str, now: float) -> Bundle:
    """A bundle of these authorities and JWKs. Raises `SpiffeError` as `read` does."""
    found = tuple(authorities)
    signing = [_signing(one) for one in keys]
    if not found and not signing:
        raise SpiffeError(f"{source}: the bundle is empty")
    if len(found) > MAXIMUM_AUTHORITIES:
        raise SpiffeError(f"{source}: the bundle has more than {MAXIMUM_AUTHORITIES} authorities")
    for one in found:
        if not _is_authority(one):
            raise SpiffeError(f"{source}: {one.subject.rfc4514_string()!r} in the bundle is not an authority's")
    ders = tuple(dict.fromkeys(one.public_bytes(Encoding.DER) for one in found))
    return Bundle(ders, json.dumps({"keys": signing}, sort_keys=True).encode(), now)


def _signing(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The JWK of a JWT-SVID's signer as that of any other: what it is for was said by `jwt-svid` (JWT-SVID §6.1).

    Which of its members are sound is judged where all keys are (`identity/issuers/keys.py`).
    """
    return {name: value for name, value in jwk.items() if name != "use"}


def _json(content: bytes) -> dict[str, Any] | None:
    """The object in it, None where it is no JSON at all."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else {}


def _pem(content: bytes, source: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except UNREADABLE:
        raise SpiffeError(f"{source}: holds neither PEM certificates nor a SPIFFE bundle in JSON") from None


def _x5c(jwk: Mapping[str, Any], source: str) -> x509.Certificate:
    """The first certificate, which alone counts (X509-SVID §6.2)."""
    chain = jwk["x5c"]
    try:
        first = chain[0] if isinstance(chain, list) else None
        return x509.load_der_x509_certificate(base64.b64decode(first, validate=True))  # type: ignore[arg-type]
    except (*UNREADABLE, binascii.Error):
        raise SpiffeError(f"{source}: an `x5c` in the bundle holds no certificate") from None


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False
