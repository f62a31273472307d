"""The rules of RFC 5280 that x509-limbo's cases are about, on certificates for clients, in a real handshake.

Its file is in no registry that tests can ask; these are the classes of its cases on certificates of our own. With
X509_LIMBO naming limbo.json its own are judged too (tests/functional/test_x509_limbo.py).
"""

import ipaddress
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ObjectIdentifier

from tests.handshake import Judge
from tests.pki import CLIENT, SERVER, Authority, name_of, new_key, now

ROOT = Authority.new("Rules Root")
EMAIL, DNS, URI = x509.RFC822Name, x509.DNSName, x509.UniformResourceIdentifier
UNKNOWN = (x509.UnrecognizedExtension(ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), True)


def network(text):
    return x509.IPAddress(ipaddress.ip_network(text))


def constrained(*permitted, excluded=()):
    """An authority whose certificates may carry these names and not those."""
    constraints = x509.NameConstraints(permitted or None, excluded or None)
    return ROOT.subordinate("Constrained", extensions=[(constraints, True)])


def usage(**changed):
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")  # fmt: skip
    return x509.KeyUsage(**(dict.fromkeys(names, False) | changed))


def with_usage(authority, *, sign):
    """An authority below another, whose key usage says whether it may sign certificates."""
    key = new_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of("Usage"))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now())
        .not_valid_after(authority.certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .add_extension(usage(crl_sign=True, key_cert_sign=sign), critical=True)
    )
    return Authority(builder.sign(authority.key, hashes.SHA256()), key, authority)


ALLOWED = {
    "an address that is permitted": constrained(EMAIL("foo@example.com")).issue(email=["foo@example.com"]),
    "an address at a host that is": constrained(EMAIL("example.com")).issue(email=["foo@example.com"]),
    "an asterisk, which stands for itself": constrained(EMAIL("*@example.com")).issue(email=["*@example.com"]),
    "a name below one that is permitted": constrained(DNS("example.com")).issue(dns=["a.example.com"]),
    "an ID at a host that is permitted": constrained(URI("corp.example")).issue(uri=["spiffe://corp.example/a"]),
    "an IP address within": constrained(network("10.0.0.0/8")).issue(ip=["10.1.2.3"]),
    "no names at all": constrained(DNS("example.com")).issue(),
    "an authority that may sign": with_usage(ROOT, sign=True).issue(),
    "an authority for clients": ROOT.subordinate(
        extensions=[(x509.ExtendedKeyUsage([CLIENT]), False)],
    ).issue(),
    "an extension that nobody knows": ROOT.issue(extensions=[(UNKNOWN[0], False)]),
    "a serial number of 20 octets": ROOT.issue(serial=(1 << 159) - 1),
}  # fmt: skip
REFUSED = {
    "another address": (constrained(EMAIL("foo@example.com")).issue(email=["bar@example.com"]), "permitted subtree"),
    "an address at another host": (constrained(EMAIL("example.com")).issue(email=["a@b.example.com"]), "permitted"),
    "an asterisk stands for nobody": (constrained(EMAIL("*@example.com")).issue(email=["a@example.com"]), "permitted"),
    "an excluded address": (constrained(excluded=[EMAIL("a@b.example")]).issue(email=["a@b.example"]), "excluded"),
    "another name": (constrained(DNS("example.com")).issue(dns=["example.org"]), "permitted subtree"),
    "one name of two": (constrained(DNS("a.example")).issue(dns=["x.a.example", "x.b.example"]), "permitted subtree"),
    "an excluded name": (constrained(excluded=[DNS("b.example")]).issue(dns=["x.b.example"]), "excluded subtree"),
    "an ID of another trust domain": (constrained(URI("a.example")).issue(uri=["spiffe://b.example/x"]), "permitted"),
    "an IP address outside": (constrained(network("10.0.0.0/8")).issue(ip=["192.0.2.1"]), "permitted subtree"),
    "another common name, as a directory name": (
        constrained(x509.DirectoryName(name_of("alice"))).issue("bob"), "permitted subtree"),
    "constraints of the authority above": (
        Authority.subordinate(ROOT.subordinate("Upper", path_length=1, extensions=[
            (x509.NameConstraints([DNS("a.example")], None), True)])).issue(dns=["b.example"]), "permitted subtree"),
    "an authority that may not sign": (with_usage(ROOT, sign=False).issue(), "certificate"),
    "an authority for servers": (
        ROOT.subordinate(extensions=[(x509.ExtendedKeyUsage([SERVER]), False)]).issue(), "purpose"),
    "a critical extension that nobody knows": (ROOT.issue(extensions=[UNKNOWN]), "unhandled critical extension"),
    "likewise in the authority's": (ROOT.subordinate(extensions=[UNKNOWN]).issue(), "unhandled critical extension"),
    "constraints in a leaf": (
        ROOT.issue(extensions=[(x509.NameConstraints([DNS("a.example")], None), True)]), "name constraints"),
    "a serial number of more than 20 octets": (ROOT.numbered(1 << 159), "serial number"),
    "deeper than is allowed": (
        Authority.subordinate(ROOT.subordinate("One", path_length=0), "Two").issue(), "path length"),
}  # fmt: skip


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return Judge(tmp_path_factory.mktemp("rules"), [ROOT.certificate], time.time())


@pytest.mark.parametrize("kind", ALLOWED)
def test_what_is_allowed_counts(judge, kind):
    leaf = ALLOWED[kind]
    verdict = judge([leaf.certificate, *leaf.intermediates], leaf.key)
    assert not isinstance(verdict, str), verdict


@pytest.mark.parametrize("kind", REFUSED)
def test_what_breaks_a_rule_does_not(judge, kind):
    leaf, why = REFUSED[kind]
    verdict = judge([leaf.certificate, *leaf.intermediates], leaf.key)
    assert isinstance(verdict, str)
    assert why in verdict
