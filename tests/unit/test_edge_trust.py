import time

import msgspec
import pytest

from tests.fakes import PEER
from tests.listening import asking, listener_settings
from tests.pki import Authority
from ztproxy.edge import contexts
from ztproxy.edge.trust import judged, judged_anew
from ztproxy.identity import describe
from ztproxy.model import Reason, Refusal

ROOT, OTHER = Authority.new("Root"), Authority.new("Other")


def built(folder, authority=None, mode="optional"):
    options = {} if authority is None else asking(folder, authority, mode)
    return contexts.build(listener_settings(folder, ROOT, **options), time.time())


@pytest.fixture
def alice():
    return describe((ROOT.issue("alice").der, ROOT.der))


def test_a_certificate_counts_as_long_as_the_listener_has_its_authority(tmp_path, alice):
    assert judged(alice, built(tmp_path, ROOT)) is alice
    for now in (built(tmp_path, OTHER), built(tmp_path)):
        refusal = judged(alice, now)
        assert isinstance(refusal, Refusal)
        assert (refusal.reason, refusal.close) == (Reason.CERTIFICATE_UNTRUSTED_HERE, True)


def test_a_client_without_certificate_is_refused_where_one_has_come_to_be_required(tmp_path):
    assert judged(None, built(tmp_path, ROOT)) is None
    assert judged(None, built(tmp_path)) is None
    refusal = judged(None, built(tmp_path, ROOT, "required"))
    assert (refusal.reason, refusal.close) == (Reason.CERTIFICATE_REQUIRED, True)


def test_what_could_not_be_read_stays_so(tmp_path):
    unreadable = Refusal(Reason.CERTIFICATE_UNSUITABLE)
    assert judged(unreadable, built(tmp_path, ROOT)) is unreadable


def test_a_connection_is_another_one_after_each_change(tmp_path, alice):
    """Whatever was remembered with the object is forgotten with it."""
    before = msgspec.structs.replace(PEER, unchecked_certificate=alice)
    after = judged_anew(before, built(tmp_path, ROOT))
    assert after is not before
    assert after == before
    assert judged_anew(before, None) is not before
    assert isinstance(judged_anew(before, built(tmp_path, OTHER)).unchecked_certificate, Refusal)
