"""One question about one certificate, and its answer, read and verified (OCSP, RFC 6960)."""

import hashlib
import hmac

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ztproxy.identity.revocation.ocsp_signers import key_octets, signer_of

NONCE_LENGTH = 32
"""Octets (RFC 9654 §2.1)."""
SKEW = 60.0
"""Seconds that a responder's clock may be ahead of ours."""
WITHOUT_END = 300.0
"""Seconds that an answer counts which names no end: the responder knows more at any time (§4.2.2.1)."""
_LATER = {ocsp.OCSPResponseStatus.TRY_LATER, ocsp.OCSPResponseStatus.INTERNAL_ERROR}
_HASHES = (hashes.SHA1, hashes.SHA256, hashes.SHA384, hashes.SHA512)
"""What a certificate may be named with; it is compared with the very certificate, so their strength means nothing."""
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


class UnusableAnswerError(Exception):
    """It is no answer to the question, or nobody's who may give it; the message says which.

    `later`: the responder itself cannot answer just now, whatever it is asked about.
    """

    def __init__(self, problem: str, *, later: bool = False) -> None:
        super().__init__(problem)
        self.later = later


class Answer(msgspec.Struct, frozen=True):
    """What a responder that may say so said about one certificate. Times are seconds since 1970."""

    status: ocsp.OCSPCertStatus
    this_update: float
    next_update: float
    delegate: int | None
    """Serial number of the certificate of the one that the authority delegated to, where its own standing matters."""


def question(subject: x509.Certificate, issuer: x509.Certificate, nonce: bytes | None) -> bytes:
    """A request, DER. SHA-1 names the certificate, as that is what every responder understands (RFC 5019 §2.1.1)."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(subject, issuer, hashes.SHA1())  # noqa: S303 - a name
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def read_answer(
    data: bytes,
    subject: x509.Certificate,
    issuer: x509.Certificate,
    now: float,
    *,
    nonce: bytes | None = None,
    nonce_required: bool = False,
) -> Answer:
    """What an answer says about a certificate (§3.2). Raises `UnusableAnswerError`.

    Args:
        data: DER, as the responder gave it.
        subject: the certificate that was asked about.
        issuer: its issuer, of the verified chain.
        now: seconds since 1970.
        nonce: as in the question; None: none was sent.
        nonce_required: whether an answer without it counts.
    """
    try:
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            status = response.response_status
            raise UnusableAnswerError(f"the responder says {status.name.lower()}", later=status in _LATER)
        _check_extensions(response, nonce, required=nonce_required)
        one = _the_one(response)
        if not _is_about(one, subject, issuer):
            raise UnusableAnswerError("it is about another certificate, or another authority's")
        signer = signer_of(response, issuer, now)
        this_update = one.this_update_utc.timestamp()
        next_update = WITHOUT_END + this_update if one.next_update_utc is None else one.next_update_utc.timestamp()
    except _UNREADABLE as wrong:
        raise UnusableAnswerError("it is no readable answer") from wrong
    if signer is None:
        raise UnusableAnswerError("it was signed by nobody who may answer for the authority")
    if this_update > now + SKEW:
        raise UnusableAnswerError("it is from the future; compare the clocks")
    if next_update <= now:
        raise UnusableAnswerError("it is out of date")
    return Answer(one.certificate_status, this_update, next_update, signer.delegate)


def _check_extensions(response: ocsp.OCSPResponse, nonce: bytes | None, *, required: bool) -> None:
    echoed: bytes | None = None
    for extension in response.extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            echoed = extension.value.nonce
        elif extension.critical:
            raise UnusableAnswerError("it has a critical extension that is not understood")
    if nonce is not None and echoed is not None and not hmac.compare_digest(echoed, nonce):
        raise UnusableAnswerError("it answers another question: its nonce is not ours")
    if required and (nonce is None or echoed is None):
        raise UnusableAnswerError("it has no nonce, and could be an old one")


def _the_one(response: ocsp.OCSPResponse) -> ocsp.OCSPSingleResponse:
    found = list(response.responses)
    if len(found) != 1:
        raise UnusableAnswerError("it is about more certificates than the one asked about")
    if any(extension.critical for extension in response.single_extensions):
        raise UnusableAnswerError("it has a critical extension that is not understood")
    return found[0]


def _is_about(one: ocsp.OCSPSingleResponse, subject: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether all three that name a certificate are its own (§4.1.1)."""
    if not isinstance(one.hash_algorithm, _HASHES):
        return False
    made = hashlib.new(one.hash_algorithm.name.replace("-", ""), usedforsecurity=False)
    name, key = made.copy(), made.copy()
    name.update(issuer.subject.public_bytes())
    key.update(key_octets(issuer))
    return (one.issuer_name_hash, one.issuer_key_hash, one.serial_number) == (
        name.digest(),
        key.digest(),
        subject.serial_number,
    )
