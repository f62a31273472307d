"""A certificate that OpenSSL accepted still does not count when it is not a client's, not current or not for here."""

import time

import pytest

from tests.pki import ANY, SERVER, Authority
from tests.roca import computable_key
from ztproxy.identity.certificates.description import describe
from ztproxy.identity.certificates.fitness import fit
from ztproxy.model import Reason

ROOT, OTHER = Authority.new("Root"), Authority.new("Other")
SAME_NAME = Authority.new("Root")
NOW = time.time()
HERE = frozenset([ROOT.der])


def read(leaf, *authorities):
    return describe((leaf.der, *(authority.der for authority in authorities)))


def reason(leaf, *authorities, here=HERE, now=NOW):
    refusal = fit(read(leaf, *authorities), here, now)
    return refusal and refusal.reason


@pytest.mark.parametrize("eku", [None, (SERVER,), (ANY,), (SERVER, ANY)], ids=["absent", "server", "any", "both"])
def test_not_made_for_clients(eku):
    assert reason(ROOT.issue(eku=eku), ROOT) is Reason.CERTIFICATE_UNSUITABLE


def test_an_authority_as_leaf():
    assert reason(ROOT.issue(ca=True), ROOT) is Reason.CERTIFICATE_UNSUITABLE


def test_version_1():
    certificate = read(ROOT.version_1(), ROOT)
    assert certificate.version == 1
    assert fit(certificate, HERE, NOW).reason is Reason.CERTIFICATE_UNSUITABLE
    assert "version" in fit(certificate, HERE, NOW).detail


@pytest.mark.slow
def test_a_key_that_can_be_computed_from_the_certificate():
    refusal = read(ROOT.issue(key=computable_key()), ROOT)
    assert refusal.reason is Reason.CERTIFICATE_UNSUITABLE
    assert "ROCA" in refusal.detail


def test_dates_are_looked_at_on_every_request():
    certificate = read(ROOT.issue(), ROOT)
    assert fit(certificate, HERE, certificate.not_after) is None
    assert fit(certificate, HERE, certificate.not_before) is None
    for outside in (certificate.not_after + 1, certificate.not_before - 1):
        assert fit(certificate, HERE, outside).reason is Reason.CERTIFICATE_EXPIRED


def test_issued_by_a_leaf():
    posing = ROOT.issue("leaf")
    refusal = describe((posing.issue().der, posing.der, ROOT.der))
    assert refusal.reason is Reason.CERTIFICATE_UNSUITABLE


def test_an_authority_that_does_not_count_here():
    assert reason(OTHER.issue(), OTHER) is Reason.CERTIFICATE_UNTRUSTED_HERE


def test_an_authority_of_the_same_name_with_another_key():
    assert reason(SAME_NAME.issue(), SAME_NAME) is Reason.CERTIFICATE_UNTRUSTED_HERE


def test_an_intermediate_may_be_what_counts():
    one, other = ROOT.subordinate("One"), ROOT.subordinate("Other")
    assert reason(one.issue(), one, ROOT, here=frozenset([one.der])) is None
    assert reason(other.issue(), other, ROOT, here=frozenset([one.der])) is Reason.CERTIFICATE_UNTRUSTED_HERE


def test_the_leaf_itself_is_no_authority_that_counts():
    leaf = ROOT.issue()
    assert reason(leaf, here=frozenset([leaf.der])) is Reason.CERTIFICATE_UNTRUSTED_HERE
