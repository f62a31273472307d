"""Delta lists: what they add counts at once, and nothing out of date or out of place takes a revocation back."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.attacks.test_revocation import chain, knowing, point, scope
from tests.pki import DAY, Authority, new_key, now
from tests.revoking import Revoking, settle, turn
from ztproxy.identity.revocation.crl import UnusableListError, lists_in
from ztproxy.model import Reason

ROOT = Authority.new("Root")
NOW = time.time()
LEAF = ROOT.issue()
CERTIFICATE = chain(LEAF, ROOT)
SERIAL = LEAF.certificate.serial_number
UNKNOWN, REVOKED, GOOD = Reason.REVOCATION_UNKNOWN, Reason.CERTIFICATE_REVOKED, "good"
STALE = {"last_update": now() - 2 * DAY, "next_update": now() - DAY}


def whole(*revoked, number=5, **options):
    return ROOT.crl(*revoked, number=number, **options)


def delta(*revoked, number=7, base=5, removed=(), extensions=(), **options):
    """A delta list; `removed` are taken back."""
    made = ROOT.crl(*revoked, number=number, extensions=[(x509.DeltaCRLIndicator(base), True), *extensions], **options)
    return rebuilt(made, removed) if removed else made


def rebuilt(crl, removed, reason=x509.ReasonFlags.remove_from_crl):
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(crl.issuer)
        .last_update(crl.last_update_utc)
        .next_update(crl.next_update_utc)
    )
    for extension in crl.extensions:
        builder = builder.add_extension(extension.value, critical=extension.critical)
    for entry in crl:
        builder = builder.add_revoked_certificate(entry)
    for leaf in removed:
        entry = x509.RevokedCertificateBuilder().serial_number(leaf.certificate.serial_number)
        entry = entry.revocation_date(now() - DAY).add_extension(x509.CRLReason(reason), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(ROOT.key, hashes.SHA256())


def judge(*crls, at=NOW, **rule):
    lists = [one for crl in crls for one in lists_in(crl.public_bytes(Encoding.DER), [ROOT.certificate], "test")]
    outcomes = [knowing(order, ROOT, **rule).check(CERTIFICATE, at) for order in (lists, lists[::-1])]
    found = {getattr(outcome, "reason", None) or outcome.revocation for outcome in outcomes}
    assert len(found) == 1, "the order of lists makes no difference"
    return found.pop()


def test_what_a_delta_adds_is_revoked():
    assert judge(whole(), delta(LEAF)) is REVOKED
    assert judge(whole(), delta()) == GOOD
    assert judge(whole(LEAF), delta()) is REVOKED


def test_a_current_delta_brings_a_list_up_to_date_that_is_out_of_date():
    assert judge(whole(**STALE)) is UNKNOWN
    assert judge(whole(**STALE), delta()) == GOOD
    assert judge(whole(LEAF, **STALE), delta()) is REVOKED


@pytest.mark.parametrize(
    "one",
    [
        delta(number=7, base=6),
        delta(number=5, base=5),
        delta(number=4, base=3),
        delta(extensions=scope(only_contains_user_certs=True)),
        delta(extensions=scope(full_name=point("http://crl.test/1"))),
        delta(extensions=scope(indirect_crl=True)),
        delta(extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]),
        delta(**STALE),
        delta(last_update=now() + DAY / 2),
    ],
    ids=["later-base", "same-number", "older", "users", "point", "indirect", "critical", "stale", "future"],
)
def test_a_delta_that_does_not_follow_the_list_brings_nothing_up_to_date(one):
    assert judge(whole(**STALE), one) is UNKNOWN
    assert judge(one) is UNKNOWN


def test_a_delta_alone_is_never_a_word_for_good():
    assert judge(delta()) is UNKNOWN
    assert judge(delta(LEAF)) is REVOKED


def test_a_current_delta_takes_a_certificate_off_hold():
    assert judge(whole(LEAF), delta(removed=[LEAF])) == GOOD
    assert judge(whole(), delta(LEAF, number=6), delta(removed=[LEAF], number=7)) == GOOD


@pytest.mark.parametrize(
    "one",
    [
        delta(removed=[LEAF], **STALE),
        delta(removed=[LEAF], last_update=now() + DAY / 2),
        delta(removed=[LEAF], number=7, base=6),
        delta(removed=[LEAF], number=5, base=4),
        delta(removed=[LEAF], extensions=scope(only_contains_user_certs=True)),
        delta(removed=[LEAF], extensions=scope(indirect_crl=True)),
        delta(LEAF, removed=[LEAF]),
    ],
    ids=["stale", "future", "later-base", "no-newer", "another-scope", "indirect", "both"],
)
def test_what_does_not_take_it_back(one):
    assert judge(whole(LEAF), one) is REVOKED
    assert judge(whole(LEAF), one, grace=365 * 86400.0) is REVOKED


def test_only_a_delta_takes_anything_back():
    assert judge(rebuilt(whole(), [LEAF])) is REVOKED


def test_on_hold_is_revoked():
    assert judge(rebuilt(whole(), [LEAF], x509.ReasonFlags.certificate_hold)) is REVOKED
    assert judge(whole(), rebuilt(delta(), [LEAF], x509.ReasonFlags.certificate_hold)) is REVOKED


def test_an_old_deltas_word_ends_with_a_newer_whole_list_that_is_current():
    assert judge(whole(number=8), delta(LEAF, **STALE)) == GOOD
    assert judge(whole(number=8, **STALE), delta(LEAF, **STALE)) is REVOKED
    assert judge(whole(number=6), delta(LEAF, **STALE)) is REVOKED


def test_without_numbers_nothing_belongs_together():
    plain = x509.CertificateRevocationListBuilder().issuer_name(ROOT.certificate.subject)
    plain = plain.last_update(now() - 2 * DAY).next_update(now() - DAY).sign(ROOT.key, hashes.SHA256())
    assert judge(plain, delta()) is UNKNOWN


def test_a_delta_of_another_key_is_nobodys():
    forged = ROOT.crl(key=new_key(), number=7, extensions=[(x509.DeltaCRLIndicator(5), True)])
    with pytest.raises(UnusableListError):
        judge(whole(), forged)


def test_a_delta_of_a_list_for_one_point_is_for_that_point():
    there = scope(full_name=point("http://crl.test/1"))
    assert judge(whole(extensions=there, **STALE), delta(extensions=there)) is UNKNOWN
    points = [
        (x509.CRLDistributionPoints([x509.DistributionPoint(point("http://crl.test/1"), None, None, None)]), False)
    ]
    leaf = chain(ROOT.issue(extensions=points), ROOT)
    lists = [
        one
        for crl in (whole(extensions=there, **STALE), delta(extensions=there))
        for one in lists_in(crl.public_bytes(Encoding.DER), [ROOT.certificate], "test")
    ]
    assert knowing(lists, ROOT).check(leaf, NOW).revocation == GOOD


async def test_a_list_says_where_its_deltas_are_and_they_are_fetched_where_permitted(tmp_path):
    async with Revoking(tmp_path, ROOT) as world:
        url = world.publisher.publish("/pki/delta.crl", delta(LEAF))
        freshest = [(x509.FreshestCRL([x509.DistributionPoint(point(url), None, None, None)]), False)]
        base = world.publisher.publish("/base.crl", whole(extensions=freshest))
        apart = await world.knowing(crl_urls=[base])
        await settle(apart)
        assert await world.judge(apart, LEAF) == GOOD
        identity = await world.knowing(crl_urls=[base], follow=[world.publisher.url("/pki/")])
        await settle(identity)
        assert await world.judge(identity, LEAF) is REVOKED


async def test_the_next_delta_counts_when_it_is_there(tmp_path):
    async with Revoking(tmp_path, ROOT) as world:
        urls = [world.publisher.publish("/base.crl", whole()), world.publisher.publish("/delta.crl", delta())]
        identity = await world.knowing(crl_urls=urls)
        await settle(identity)
        assert await world.judge(identity, LEAF) == GOOD
        world.publisher.publish("/delta.crl", delta(LEAF, number=8, last_update=now() - DAY / 2))
        world.clock.advance(3600)
        await turn(identity)
        assert await world.judge(identity, LEAF) is REVOKED
