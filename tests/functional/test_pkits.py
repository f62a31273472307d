"""NIST's PKITS (RFC 5280's path rules, 400 certificates) as a judge of which client certificates count.

Each end certificate is shown in a real handshake, with every authority's certificate that could belong to its chain;
what OpenSSL lets through is read and judged as on a request, and looked up in the suite's revocation lists. A name says
whether its certificate is valid; the suite's name no purpose, so that demand alone is left out here.
"""

import collections
import functools
import importlib.util
import re
import time
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from tests.handshake import Judge
from ztproxy.identity.revocation.crl import UnusableListError, lists_in
from ztproxy.identity.revocation.standing import Standing, by_lists, links_of

SPEC = importlib.util.find_spec("cryptography_vectors")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(SPEC is None, reason="needs cryptography-vectors: make peers")]
ANCHOR = "TrustAnchorRootCertificate"

AUTHORITY = "It is an authority's own certificate, which is nobody's as a client."
POLICIES = "An authority of its chain demands that it name a policy, and no policy is known (`spiffe/tls.py`)."
ROLLOVER = "A list is for the name and the key that issued a certificate; this one is by the same name's other key."
INDIRECT = "A list by somebody else than the certificate's authority says nothing here (indirect lists)."
BY_NAME = "Its distribution point has a name in a directory; only URLs are understood."
PARTIAL = "Several lists, each for some reasons, are not put together."
REFUSED = {
    "ValidDSASignaturesTest4EE": "DSA is no signature algorithm of TLS 1.3.",
    "ValidDSAParameterInheritanceTest5EE": "A key without its parameters cannot be read.",
    "ValidNameChainingWhitespaceTest4EE": "OpenSSL takes names that differ in white space for two names.",
    "ValidUTF8StringCaseInsensitiveMatchTest11EE": "OpenSSL takes UTF-8 names that differ in case for two names.",
    "ValidbasicConstraintsNotCriticalTest4EE": "An authority's basic constraints are critical (RFC 5280 §4.2.1.9).",
    **dict.fromkeys(("ValidpathLenConstraintTest8EE", "ValidpathLenConstraintTest14EE"), AUTHORITY),
    "ValidonlyContainsCACertsTest13EE": AUTHORITY,
    **dict.fromkeys((f"AllCertificatesSamePoliciesTest{n}EE" for n in (10, 13)), POLICIES),
    "AllCertificatesanyPolicyTest11EE": POLICIES,
    "AnyPolicyTest14EE": POLICIES,
    **dict.fromkeys((f"DifferentPoliciesTest{n}EE" for n in (4, 5, 7, 8, 9, 12)), POLICIES),
    "OverlappingPoliciesTest6EE": POLICIES,
    **dict.fromkeys((f"ValidPolicyMappingTest{n}EE" for n in (1, 3, 5, 6, 9, 11, 12, 13, 14)), POLICIES),
    **dict.fromkeys((f"ValidSelfIssuedinhibitAnyPolicyTest{n}EE" for n in (7, 9)), POLICIES),
    **dict.fromkeys((f"ValidinhibitPolicyMappingTest{n}EE" for n in (2, 4)), POLICIES),
    "ValidSelfIssuedinhibitPolicyMappingTest7EE": POLICIES,
    "ValidrequireExplicitPolicyTest4EE": POLICIES,
    "ValidinhibitAnyPolicyTest2EE": POLICIES,
    "inhibitAnyPolicyTest3EE": POLICIES,
    "UserNoticeQualifierTest18EE": POLICIES,
}
"""Valid for NIST, and refused before revocation is looked at."""
NOT_KNOWN = {
    **dict.fromkeys((f"ValidBasicSelfIssuedNewWithOldTest{n}EE" for n in (3, 4)), ROLLOVER),
    "ValidBasicSelfIssuedOldWithNewTest1EE": ROLLOVER,
    "ValidBasicSelfIssuedCRLSigningKeyTest6EE": ROLLOVER,
    "ValidSeparateCertificateandCRLKeysTest19EE": ROLLOVER,
    **dict.fromkeys((f"ValidSelfIssuedpathLenConstraintTest{n}EE" for n in (15, 17)), ROLLOVER),
    "ValidSelfIssuedrequireExplicitPolicyTest6EE": ROLLOVER,
    "ValidDNnameConstraintsTest19EE": ROLLOVER,
    **dict.fromkeys((f"ValidIDPwithindirectCRLTest{n}EE" for n in (22, 24, 25)), INDIRECT),
    **dict.fromkeys((f"ValidcRLIssuerTest{n}EE" for n in (28, 29, 30, 33)), INDIRECT),
    **dict.fromkeys((f"ValiddistributionPointTest{n}EE" for n in (1, 4, 5, 7)), BY_NAME),
    **dict.fromkeys((f"ValidonlySomeReasonsTest{n}EE" for n in (18, 19)), PARTIAL),
}
"""Valid for NIST, and refused because its lists do not show that it was not revoked."""
BY_LISTS = re.compile(
    r"(?i)crl|Revoked|istributionPoint|onlySome|onlyContains|LongSerial|BasicSelfIssued|NegativeSerial"
)
"""Whose invalidity is a matter of revocation lists; all other invalid ones must not even get that far."""


def folder():
    return Path(SPEC.submodule_search_locations[0]) / "x509" / "PKITS_data"


def plain(name):
    """A name as it is compared here to find candidates: rather too many than too few."""
    return re.sub(r"\s*([,=])\s*", r"\1", re.sub(r"\s+", " ", name.rfc4514_string().lower())).strip()


@functools.cache
def authorities():
    """Every authority's certificate that can be read, by file name."""
    found = {}
    for path in sorted((folder() / "certs").glob("*.crt")):
        if not path.stem.endswith("EE"):
            try:
                one = x509.load_der_x509_certificate(path.read_bytes())
            except ValueError:
                assert path.stem == "DSAParametersInheritedCACert"
            else:
                found[path.stem] = one
    return found


@functools.cache
def by_subject():
    found = collections.defaultdict(list)
    for name, one in authorities().items():
        if name != ANCHOR:
            found[plain(one.subject)].append(one)
    return found


def candidates(leaf):
    """All that could stand between a certificate and the anchor."""
    found, sought = [], [leaf]
    while sought:
        new = [one for one in by_subject()[plain(sought.pop().issuer)] if one not in found and one != leaf]
        found += new
        sought += new
    return found


@functools.cache
def lists():
    """Every revocation list that its own authority signed."""
    found = []
    for path in sorted((folder() / "crls").glob("*.crl")):
        try:
            found += lists_in(path.read_bytes(), list(authorities().values()), path.name)
        except UnusableListError:
            assert re.search("Bad|DSA|cRLSignFalse", path.name), path.name
    return found


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    """Of each end certificate: why it does not count, or None; and before which step."""
    judge = Judge(tmp_path_factory.mktemp("pkits"), [authorities()[ANCHOR]], time.time(), purpose_demanded=False)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is odd about a certificate is the point
        for path in sorted((folder() / "pkcs12").glob("*EE.p12")):
            found[path.stem] = verdict(judge, path)
    return found


def verdict(judge, path):
    try:
        held = pkcs12.load_pkcs12(path.read_bytes(), b"password")
    except ValueError as wrong:
        return ("chain", str(wrong))
    leaf = held.cert.certificate
    read = judge([leaf, *candidates(leaf)], held.key)
    if isinstance(read, str):
        return ("chain", read)
    for link in links_of(read.chain):
        own = [one for one in lists() if one.authority == link.authority]
        finding = by_lists(link, own, time.time(), 0.0)
        if finding.standing is not Standing.GOOD:
            return ("lists", f"{finding.standing.value} {finding.cause}")
    return None


def invalid(name):
    return name.startswith("Invalid")


def test_nothing_invalid_is_accepted(verdicts):
    assert len([name for name in verdicts if invalid(name)]) > 100
    assert [name for name, why in verdicts.items() if invalid(name) and why is None] == []


def test_what_is_invalid_by_itself_does_not_need_a_list_to_be_refused(verdicts):
    late = [name for name, why in verdicts.items() if invalid(name) and why is not None and why[0] == "lists"]
    assert [name for name in late if not BY_LISTS.search(name)] == []


def test_each_valid_one_that_is_refused_is_explained(verdicts):
    for step, table in (("chain", REFUSED), ("lists", NOT_KNOWN)):
        refused = {name for name, why in verdicts.items() if not invalid(name) and why is not None and why[0] == step}
        assert refused == table.keys()
    assert sum(1 for name, why in verdicts.items() if not invalid(name) and why is None) > 40


def test_the_reasons_are_those_that_are_given(verdicts):
    for name, why in REFUSED.items():
        said = verdicts[name][1]
        assert ("no explicit policy" in said) == (why is POLICIES), name
        assert ("authority's" in said) == (why is AUTHORITY), name
    assert all(verdicts[name][1].startswith("unknown") for name in NOT_KNOWN)
