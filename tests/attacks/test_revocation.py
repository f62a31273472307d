"""A revoked certificate is refused on its next request, and what is not known is never taken for good."""

import time
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.issuer_server import World
from tests.pki import DAY, Authority, new_key, now
from ztproxy.identity import IdentityConfigError, describe
from ztproxy.identity.revocation.authority import Authority as Known
from ztproxy.identity.revocation.crl import authority_id, read_lists
from ztproxy.identity.revocation.list_files import ListFiles
from ztproxy.identity.revocation.standing import Rule
from ztproxy.identity.revocation.verdicts import Revocation
from ztproxy.model import Identified, Reason

ROOT = Authority.new("Root")
NOW = time.time()


def chain(leaf, *authorities):
    return describe((leaf.der, *(authority.der for authority in authorities)))


def scope(**options):
    plain = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return [(x509.IssuingDistributionPoint(**plain | options), True)]


def point(uri):
    return [x509.UniformResourceIdentifier(uri)]


@pytest.fixture
def lists(tmp_path):
    """Reads lists as they are read from files."""

    def read(*crls, authorities=(ROOT,)):
        path = tmp_path / "list.crl"
        path.write_bytes(b"".join(crl.public_bytes(Encoding.PEM) for crl in crls))
        return read_lists(path, [authority.certificate for authority in authorities], "crl")

    return read


def knowing(lists, root=ROOT, **rule):
    """A listener that knows these lists of an authority, read from files that are not there any more."""
    known = Known("ca.pem", [], ListFiles([], [], "crl"))
    known.ids = frozenset(one.authority for one in lists) | {authority_id(root.certificate)}
    known.lists = tuple(lists)
    return Revocation([(known, None)], Rule(**rule))


def judge(certificate, lists, at=NOW, **rule):
    outcome = knowing(lists, **rule).check(certificate, at)
    return getattr(outcome, "reason", None) or outcome.revocation


def test_revoked_and_good(lists):
    revoked, good = ROOT.issue(), ROOT.issue()
    read = lists(ROOT.crl(revoked))
    assert judge(chain(revoked, ROOT), read) is Reason.CERTIFICATE_REVOKED
    assert judge(chain(good, ROOT), read) == "good"


def test_a_list_in_der_counts_too(tmp_path):
    revoked = ROOT.issue()
    path = tmp_path / "list.der"
    path.write_bytes(ROOT.crl(revoked).public_bytes(Encoding.DER))
    read = read_lists(path, [ROOT.certificate], "crl")
    assert judge(chain(revoked, ROOT), read) is Reason.CERTIFICATE_REVOKED


def test_stale_is_unknown_but_a_revoked_one_stays_revoked(lists):
    revoked, good = ROOT.issue(), ROOT.issue()
    revocation = knowing(lists(ROOT.crl(revoked)))
    later = NOW + 2 * 86400
    certificate = chain(good, ROOT)
    assert revocation.check(certificate, NOW).revocation == "good"
    assert revocation.check(certificate, later).reason is Reason.REVOCATION_UNKNOWN
    assert revocation.check(chain(revoked, ROOT), later).reason is Reason.CERTIFICATE_REVOKED


def test_a_list_from_the_future_is_unknown(lists):
    read = lists(ROOT.crl(last_update=now() + DAY / 2))
    assert judge(chain(ROOT.issue(), ROOT), read) is Reason.REVOCATION_UNKNOWN


def test_unknown_is_let_in_and_counted_only_where_said(lists):
    certificate = chain(ROOT.issue(), ROOT)
    revocation = knowing(lists(ROOT.crl()), refuse=False)
    later = NOW + 2 * 86400
    assert revocation.check(certificate, later).revocation == "unchecked"
    assert revocation.let_in_unchecked == 1
    revoked = ROOT.issue()
    assert judge(chain(revoked, ROOT), lists(ROOT.crl(revoked)), refuse=False) is Reason.CERTIFICATE_REVOKED


def test_another_key_under_the_authoritys_name_signs_nothing(lists):
    with pytest.raises(IdentityConfigError, match="signed by none"):
        lists(ROOT.crl(key=new_key()))


def test_an_authority_of_the_same_name_is_not_covered(lists):
    other = Authority.new("Root")
    read = lists(ROOT.crl(), authorities=(ROOT, other))
    assert judge(chain(other.issue(), other), read) is Reason.REVOCATION_UNKNOWN


def test_every_certificate_below_the_anchor_needs_a_list(lists):
    intermediate = ROOT.subordinate("Sub")
    certificate = chain(intermediate.issue(), intermediate, ROOT)
    both = (ROOT, intermediate)
    assert judge(certificate, lists(ROOT.crl(), authorities=both)) is Reason.REVOCATION_UNKNOWN
    assert judge(certificate, lists(intermediate.crl(), authorities=both)) is Reason.REVOCATION_UNKNOWN
    assert judge(certificate, lists(ROOT.crl(), intermediate.crl(), authorities=both)) == "good"
    revoking = ROOT.crl(intermediate.certificate)
    assert judge(certificate, lists(revoking, intermediate.crl(), authorities=both)) is Reason.CERTIFICATE_REVOKED


@pytest.mark.parametrize(
    "extensions",
    [
        [(x509.DeltaCRLIndicator(1), True)],
        [(x509.DeltaCRLIndicator(1), False)],
        scope(indirect_crl=True),
        scope(only_some_reasons=frozenset([x509.ReasonFlags.key_compromise])),
        scope(only_contains_attribute_certs=True),
        scope(only_contains_ca_certs=True),
        scope(full_name=point("http://crl.test/elsewhere")),
        [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)],
    ],
    ids=["delta", "delta-not-critical", "indirect", "reasons", "attributes", "authorities", "point", "critical"],
)
def test_absence_from_a_list_that_does_not_cover_means_nothing(lists, extensions):
    read = lists(ROOT.crl(extensions=extensions))
    assert judge(chain(ROOT.issue(), ROOT), read) is Reason.REVOCATION_UNKNOWN


def test_a_list_for_a_distribution_point_covers_what_names_it(lists):
    uri = "http://crl.test/1"
    named = [(x509.CRLDistributionPoints([x509.DistributionPoint(point(uri), None, None, None)]), False)]
    read = lists(ROOT.crl(extensions=scope(full_name=point(uri))))
    assert judge(chain(ROOT.issue(extensions=named), ROOT), read) == "good"


def test_an_authority_that_may_not_sign_lists_signs_none(lists):
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    key = new_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(ROOT.certificate.subject)
        .issuer_name(ROOT.certificate.subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now() - DAY)
        .not_valid_after(now() + DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, ROOT.certificate.signature_hash_algorithm)
    )
    silent = Authority(certificate, key)
    with pytest.raises(IdentityConfigError, match="signed by none"):
        lists(silent.crl(), authorities=(silent,))


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", ROOT.pem, None], ids=["empty", "nonsense", "certificate", "absent"]
)
def test_a_file_that_is_no_list_stops_the_start(tmp_path, content):
    path = tmp_path / "broken.crl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IdentityConfigError, match=r"broken\.crl"):
        read_lists(path, [ROOT.certificate], "crl")


def test_a_file_with_half_a_list_at_its_end_stops_the_start(tmp_path):
    path = tmp_path / "half.crl"
    whole = ROOT.crl().public_bytes(Encoding.PEM)
    path.write_bytes(whole + whole[: len(whole) // 2])
    with pytest.raises(IdentityConfigError, match=r"half\.crl"):
        read_lists(path, [ROOT.certificate], "crl")


async def test_a_certificate_revoked_while_its_connection_stays_open(tmp_path):
    async with World(tmp_path) as world:
        leaf, other = ROOT.issue(), ROOT.issue()
        settings = mutual(world, crl=[ROOT.write_crl(tmp_path)])
        world.clock.wall = NOW
        identity = await world.build(settings)
        certificate = chain(leaf, ROOT)
        identified = await world.ask(identity, certificate=certificate, listener=ADDRESS)
        assert isinstance(identified, Identified)
        assert identified.certificate.revocation == "good"
        ROOT.write_crl(tmp_path, leaf, number=2)
        look(identity)
        refusal = await world.ask(identity, certificate=certificate, listener=ADDRESS)
        assert refusal.reason is Reason.CERTIFICATE_REVOKED
        # a file that is broken later leaves the last good list in use
        (tmp_path / "ca.crl").write_bytes(b"half a l")
        look(identity)
        refusal = await world.ask(identity, certificate=certificate, listener=ADDRESS)
        assert refusal.reason is Reason.CERTIFICATE_REVOKED
        identified = await world.ask(identity, certificate=chain(other, ROOT), listener=ADDRESS)
        assert isinstance(identified, Identified)


async def test_a_certificate_that_expires_while_its_connection_stays_open(tmp_path):
    async with World(tmp_path) as world:
        leaf = ROOT.issue(not_after=now() + timedelta(hours=1))
        world.clock.wall = NOW
        identity = await world.build(mutual(world))
        certificate = chain(leaf, ROOT)
        assert isinstance(await world.ask(identity, certificate=certificate, listener=ADDRESS), Identified)
        world.clock.advance(7200)  # far more than the suite takes until here
        refusal = await world.ask(identity, certificate=certificate, listener=ADDRESS)
        assert refusal.reason is Reason.CERTIFICATE_EXPIRED


def look(identity):
    """What is done every now and then."""
    for authority in identity.authorities:
        authority.look_at_files()


ADDRESS = "127.0.0.1:8443"


def mutual(world, **options):
    """Settings with one listener that asks for certificates of ROOT and a route that requires one."""
    certificate, key = ROOT.server().write(world.folder, "server")
    asked = {"authorities": [ROOT.write(world.folder)], "mode": "optional"} | options
    listener = {
        "address": ADDRESS,
        "certificates": [{"certificate": certificate, "key": key}],
        "client_certificates": asked,
    }
    return world.settings([], listeners=[listener], routes=[world.route(require=["certificate"])])
