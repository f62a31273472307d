import time

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.pki import ANY, CLIENT, SERVER, Authority
from ztproxy.identity.certificates import description as certificates
from ztproxy.identity.certificates.description import MAXIMUM_CHAIN, describe
from ztproxy.identity.certificates.fitness import fit
from ztproxy.model import Certificate, Reason, Refusal

ROOT = Authority.new()
TWO_ATS = x509.RFC822Name._init_without_validation("a@evil@corp.example")  # as one is read out of a certificate


def chain_of(leaf, *authorities):
    return (leaf.der, *(authority.der for authority in authorities))


def described(**options):
    return describe(chain_of(ROOT.issue(**options), ROOT))


def test_names_are_typed_and_in_their_one_spelling():
    certificate = described(
        dns=["Api.Example"], email=["Alice@Corp.Example"], uri=["https://x.example/A"], ip=["10.0.0.1", "fd00::1"]
    )
    assert certificate.sans.dns == ("api.example",)
    assert certificate.sans.email == ("Alice@corp.example",)
    assert certificate.sans.uri == ("https://x.example/A",)
    assert certificate.sans.ip == ("10.0.0.1", "fd00::1")


def test_it_tells_serial_fingerprint_names_and_dates():
    leaf = ROOT.issue("alice", serial=0xABC)
    certificate = describe(chain_of(leaf, ROOT))
    assert certificate.serial == "abc"
    assert certificate.fingerprint == leaf.fingerprint
    assert (certificate.subject, certificate.common_name) == ("CN=alice", "alice")
    assert certificate.issuer == "CN=Test Root"
    assert certificate.not_before == leaf.certificate.not_valid_before_utc.timestamp()
    assert certificate.not_after == leaf.certificate.not_valid_after_utc.timestamp()
    assert (certificate.version, certificate.is_authority) == (3, False)
    assert certificate.extended_key_usage == ("1.3.6.1.5.5.7.3.2",)
    assert certificate.chain == chain_of(leaf, ROOT)
    assert certificate.revocation == "unchecked"


def test_a_subject_is_written_by_rfc_4514():
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A, B"), x509.NameAttribute(NameOID.COMMON_NAME, "x+y")]
    )
    assert described(subject=subject).subject == r"CN=x\+y,O=A\, B"


@pytest.mark.parametrize("uri", ["spiffe://td/ns/a/sa/b", "spiffe://corp.example/x", "spiffe://td/a.b_c-d"])
def test_a_spiffe_id_is_taken(uri):
    assert described(uri=[uri]).spiffe_id == uri


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://corp.example",
        "spiffe://TD/a",
        "spiffe:///a",
        "spiffe://td/",
        "spiffe://td/a//b",
        "spiffe://td/../a",
        "spiffe://td/./a",
        "spiffe://td/a%2fb",
        "spiffe://td/a?b",
        "spiffe://td/a#b",
        "spiffe://u@td/a",
        "spiffe://td:1/a",
        "SPIFFE://td/a",
        "spiffe:td",
        "https://td/a",
        "spiffe://td/" + "a" * 2048,
    ],
)
def test_what_is_no_spiffe_id_is_none(uri):
    assert described(uri=[uri]).spiffe_id is None


def test_a_spiffe_id_beside_another_uri_is_none():
    assert described(uri=["spiffe://td/a", "https://x.example/"]).spiffe_id is None


@pytest.mark.parametrize("second", ["spiffe://td/b", "SPIFFE://td/b", "spiffe:b"])
def test_two_spiffe_ids_are_refused(second):
    refusal = described(uri=["spiffe://td/a", second])
    assert refusal.reason is Reason.CERTIFICATE_UNSUITABLE


@pytest.mark.parametrize(
    "options",
    [
        {"dns": [f"h{n}.example" for n in range(257)]},
        {"uri": ["https://x.example/" + "a" * 5000]},
        {"extensions": [(x509.SubjectAlternativeName([TWO_ATS]), False)]},
        {"common_name": "line\nbreak"},
        {"common_name": "\u2028"},
        {"dns": ["x\x00.example"]},
        {
            "subject": x509.Name(
                [x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.COMMON_NAME, "b")]
            )
        },
    ],
    ids=["names", "long", "email", "control", "separator", "nul", "two-common-names"],
)
def test_what_could_be_read_in_two_ways_is_refused(options):
    refusal = described(**options)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.CERTIFICATE_UNSUITABLE


@pytest.mark.parametrize(
    "chain", [(), (b"",), (b"\x30\x03\x02\x01\x01",), (b"\x30" * 70000,), (ROOT.issue().der,) * (MAXIMUM_CHAIN + 1)]
)
def test_what_cannot_be_read_is_refused(chain):
    assert describe(chain).reason is Reason.CERTIFICATE_UNSUITABLE


def test_every_cut_and_flipped_octet_is_read_or_refused():
    der = ROOT.issue(dns=["a.example"]).der
    for place in range(0, len(der), 3):
        for mangled in (der[:place], der[:place] + bytes([der[place] ^ 0xFF]) + der[place + 1 :]):
            try:
                outcome = describe((mangled, ROOT.der))
            except UserWarning:  # cryptography warns of odd serial numbers; here warnings are errors
                continue
            assert isinstance(outcome, Certificate | Refusal)


def test_describing_is_cheap_enough_for_every_connection():
    chain = chain_of(ROOT.issue(uri=["spiffe://td/a"]), ROOT)
    began = time.perf_counter()
    for _ in range(20):
        describe(chain)
    assert time.perf_counter() - began < 0.25


@pytest.mark.parametrize("eku", [(CLIENT,), (SERVER, CLIENT), (ANY, CLIENT)])
def test_a_clients_certificate_is_fit(eku):
    certificate = described(eku=eku)
    assert fit(certificate, frozenset([ROOT.der]), time.time()) is None


def test_a_chain_is_read_once_and_another_by_a_single_octet_anew():
    leaf, other = ROOT.issue("alice"), ROOT.issue("alice")
    first = describe(chain_of(leaf, ROOT))
    assert describe(tuple(bytes(bytearray(der)) for der in chain_of(leaf, ROOT))) is first
    assert describe(chain_of(other, ROOT)).fingerprint == other.fingerprint != first.fingerprint
    elsewhere = Authority.new()
    assert describe(chain_of(leaf, elsewhere)).chain == (leaf.der, elsewhere.der), "the chain is a part of the reading"


def test_what_is_remembered_is_no_verdict():
    leaf = ROOT.issue("alice")
    authorities = frozenset({ROOT.der})
    before = describe(chain_of(leaf, ROOT))
    again = describe(chain_of(leaf, ROOT))
    assert fit(before, authorities, before.not_after - 1) is None
    assert fit(again, authorities, again.not_after + 1).reason is Reason.CERTIFICATE_EXPIRED
    assert fit(again, frozenset(), again.not_after - 1).reason is Reason.CERTIFICATE_UNTRUSTED_HERE


def test_chains_too_long_to_be_worth_it_are_not_remembered():
    held = certificates._remembered.cache_info().currsize
    leaf = ROOT.issue("alice", dns=[f"{n}.{'x' * 60}.{'y' * 60}.example" for n in range(120)])
    chain = chain_of(leaf, ROOT)
    assert sum(map(len, chain)) > certificates.WORTH_REMEMBERING
    assert describe(chain).fingerprint == leaf.fingerprint
    assert describe(chain) is not describe(chain)
    assert certificates._remembered.cache_info().currsize == held
    assert certificates._remembered.cache_info().maxsize == certificates.REMEMBERED
