"""An OCSP answer counts only where it is about this certificate, of one who may say so, and in date (RFC 6960)."""

import datetime as dt
import os
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from tests.pki import CLIENT, DAY, Authority, Leaf, new_key, now
from tests.publisher import GOOD, NAMED_WITH, REVOKED, UNKNOWN, Responder, delegate
from ztproxy.identity.revocation.ocsp import SKEW, WITHOUT_END, UnusableAnswerError, question, read_answer

ROOT = Authority.new("Root")
LEAF = ROOT.issue()
NONCE = os.urandom(32)


def read(answer, leaf=LEAF, issuer=ROOT, at=None, **options):
    return read_answer(answer, leaf.certificate, issuer.certificate, time.time() if at is None else at, **options)


def refused(answer, match, **options):
    with pytest.raises(UnusableAnswerError, match=match) as caught:
        read(answer, **options)
    return caught.value


def asked(responder, nonce=None, leaf=LEAF, issuer=ROOT):
    """What it says to our own question."""
    return responder.answer(question(leaf.certificate, issuer.certificate, nonce))


@pytest.mark.parametrize("status", [GOOD, REVOKED, UNKNOWN])
def test_the_authoritys_own_word(status):
    responder = Responder(ROOT)
    responder.status[LEAF.certificate.serial_number] = status
    answer = read(asked(responder, NONCE), nonce=NONCE)
    assert (answer.status, answer.delegate) == (status, None)
    assert answer.this_update < time.time() < answer.next_update


@pytest.mark.parametrize("key", ["ec", pytest.param("rsa", marks=pytest.mark.slow), "ed25519"])
def test_whatever_kind_of_key_signs(key):
    made = ed25519.Ed25519PrivateKey.generate() if key == "ed25519" else new_key(key)
    root = Authority.new("Root", key=new_key("rsa") if key == "rsa" else None)
    signer = delegate(root, key=made)
    responder = Responder(root, signer)
    if key == "ed25519":
        responder.hashed = None
    leaf = root.issue()
    assert read(asked(responder, leaf=leaf, issuer=root), leaf, root).status is GOOD


def test_one_that_the_authority_let_answer():
    signer = delegate(ROOT)
    assert read(asked(Responder(ROOT, signer))).delegate == signer.certificate.serial_number
    unchecked = delegate(ROOT, extensions=[(x509.OCSPNoCheck(), False)])
    assert read(asked(Responder(ROOT, unchecked))).delegate is None


OTHER = Authority.new("Root")
"""Of the same name, with another key."""
STRANGER = delegate(Authority.new("Stranger"))
SUB = ROOT.subordinate("Sub")


@pytest.mark.parametrize(
    "signer",
    [
        STRANGER,
        OTHER,
        delegate(OTHER),
        delegate(SUB),
        delegate(ROOT, eku=(CLIENT,)),
        delegate(ROOT, eku=None),
        delegate(ROOT, not_after=now() - DAY / 2),
        delegate(ROOT, not_before=now() + DAY / 2),
        delegate(ROOT, extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
        LEAF,
    ],
    ids=[
        "stranger", "another-key", "of-another-key", "of-a-subordinate", "for-clients", "for-nothing", "expired",
        "not-yet", "critical", "the-client-itself",
    ],
)  # fmt: skip
def test_nobody_who_may_answer(signer):
    refused(asked(Responder(ROOT, signer)), "nobody who may answer")


def test_a_key_that_may_not_sign():
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_cert_sign", "crl_sign")
    more = ("digital_signature", "encipher_only", "decipher_only")
    usage = x509.KeyUsage(**dict.fromkeys((*others, *more), False), key_agreement=True)
    builder = (
        x509.CertificateBuilder()
        .subject_name(LEAF.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .serial_number(7)
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .add_extension(usage, critical=True)
    )
    key = new_key()
    signer = Leaf(builder.public_key(key.public_key()).sign(ROOT.key, hashes.SHA256()), key)
    refused(asked(Responder(ROOT, signer)), "nobody who may answer")


def test_a_delegate_that_does_not_show_itself():
    refused(asked(Responder(ROOT, delegate(ROOT), shown=[])), "nobody who may answer")


def test_another_key_under_a_delegates_name():
    forging = Responder(ROOT, delegate(Authority.new("Stranger")), shown=[delegate(ROOT).certificate])
    forging.named = ocsp.OCSPResponderEncoding.NAME
    refused(asked(forging), "nobody who may answer")


def test_an_answer_about_another_certificate():
    refused(Responder(ROOT).about(ROOT.issue()), "another certificate")


@pytest.mark.parametrize("place", [0, 1], ids=["name", "key"])
def test_an_answer_about_another_authoritys_certificate_of_that_number(place):
    """Each of the three that name a certificate is looked at."""
    responder = Responder(ROOT)
    names = list(responder.names())
    names[place] = bytes(20)
    responder.names = lambda: tuple(names)
    refused(asked(responder), "another certificate")


def test_out_of_date_and_from_the_future():
    answer = asked(Responder(ROOT))
    made = read(answer)
    refused(answer, "out of date", at=made.next_update)
    assert read(answer, at=made.this_update - SKEW).status is GOOD
    refused(answer, "from the future", at=made.this_update - SKEW - 1)


def test_without_an_end_it_counts_for_minutes():
    responder = Responder(ROOT)
    responder.next_update = lambda: None
    answer = asked(responder)
    made = read(answer)
    assert made.next_update == made.this_update + WITHOUT_END
    refused(answer, "out of date", at=made.next_update)


def test_nonces():
    responder = Responder(ROOT)
    assert read(asked(responder, NONCE), nonce=NONCE, nonce_required=True).status is GOOD
    responder.nonce = lambda _: os.urandom(32)
    refused(asked(responder, NONCE), "nonce is not ours", nonce=NONCE)
    responder.nonce = lambda _: None
    assert read(asked(responder, NONCE), nonce=NONCE).status is GOOD
    refused(asked(responder, NONCE), "has no nonce", nonce=NONCE, nonce_required=True)
    refused(asked(Responder(ROOT), NONCE), "has no nonce", nonce_required=True)


@pytest.mark.parametrize(
    ("status", "later"),
    [
        (ocsp.OCSPResponseStatus.TRY_LATER, True),
        (ocsp.OCSPResponseStatus.INTERNAL_ERROR, True),
        (ocsp.OCSPResponseStatus.UNAUTHORIZED, False),
        (ocsp.OCSPResponseStatus.MALFORMED_REQUEST, False),
    ],
)
def test_no_answer_at_all(status, later):
    answer = ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)
    assert refused(answer, "the responder says").later is later


def test_a_critical_extension_that_is_not_understood():
    responder = Responder(ROOT)
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            *responder.names(),
            LEAF.certificate.serial_number,
            NAMED_WITH,
            GOOD,
            now() - dt.timedelta(minutes=1),
            now() + DAY,
            None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.NAME, ROOT.certificate)
        .add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), critical=True)
    )
    refused(builder.sign(ROOT.key, hashes.SHA256()).public_bytes(Encoding.DER), "not understood")


def test_every_cut_and_flipped_octet_is_refused_or_says_the_same():
    responder = Responder(ROOT)
    responder.revoke(LEAF)
    answer = asked(responder)
    made = read(answer)
    for place in range(len(answer)):
        flipped = bytearray(answer)
        flipped[place] ^= 1
        for changed in (bytes(flipped), answer[:place]):
            try:
                assert read(changed) == made
            except UnusableAnswerError:
                continue
