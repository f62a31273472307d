"""The next key: made ahead of its time, once; what is over goes."""

import pytest

from tests.unit.test_upstream_key_ring import NOW, assertion, ring
from ztproxy.upstream.key_ring import FIRST, load_ring, ring_of
from ztproxy.upstream.rotating import RotationError, replace, rotate


def names(folder):
    return sorted(path.name for path in (folder / "ring").iterdir())


def test_it_signs_three_caches_later_and_is_published_before(tmp_path):
    (first,) = ring(tmp_path)
    made = rotate(assertion(tmp_path), NOW)
    assert (made.signs_from, made.reload_before, made.removed) == (NOW + 900, NOW + 570, ())
    assert made.path.name == "from-20231114T222820Z.pem"
    loaded = load_ring(assertion(tmp_path), NOW)
    assert [loaded.signing(NOW + later).kid for later in (899, 900)] == [first, made.kid]


def test_only_one_waits_at_a_time(tmp_path):
    ring(tmp_path)
    rotate(assertion(tmp_path), NOW)
    with pytest.raises(RotationError, match="waits for its time already"):
        rotate(assertion(tmp_path), NOW + 899)
    assert rotate(assertion(tmp_path), NOW + 900).signs_from == NOW + 1800


def test_what_is_over_is_removed(tmp_path):
    ring(tmp_path)
    rotate(assertion(tmp_path), NOW)
    assert rotate(assertion(tmp_path), NOW + 900 + 359).removed == ()
    assert FIRST in names(tmp_path)
    last = rotate(assertion(tmp_path), NOW + 10_000)
    assert [path.name for path in last.removed] == [FIRST, "from-20231114T222820Z.pem"]
    assert len(ring_of(tmp_path / "ring")) == 2


def test_it_may_be_sooner_but_not_sooner_than_upstreams_ask(tmp_path):
    ring(tmp_path)
    with pytest.raises(RotationError, match=r"sooner than `assertion.key_cache`"):
        rotate(assertion(tmp_path), NOW, 299.0)
    made = rotate(assertion(tmp_path), NOW + 0.5, 300.0)
    assert (made.signs_from, made.reload_before) == (NOW + 301, NOW + 0.5)


def test_compromised_keys_go_at_once(tmp_path):
    first, second = ring(tmp_path, 500)
    made = replace(assertion(tmp_path), NOW + 0.7)
    loaded = load_ring(assertion(tmp_path), NOW + 1)
    assert loaded.signing(NOW + 1).kid == made.kid
    assert first not in loaded.jwks.decode()
    assert second not in loaded.jwks.decode()
    with pytest.raises(RotationError, match="is there already"):
        replace(assertion(tmp_path), NOW + 0.9)


def test_a_single_key_is_not_rotated(tmp_path):
    told = assertion(tmp_path, keys=None, key=tmp_path / "a.key")
    for turn in (rotate, replace):
        with pytest.raises(RotationError, match=r"say `assertion.keys`"):
            turn(told, NOW)


def test_a_ring_that_is_full_of_keys_in_use_takes_no_more(tmp_path):
    ring(tmp_path, *range(-15, 0))
    with pytest.raises(RotationError, match="16 keys that are still in use"):
        rotate(assertion(tmp_path), NOW)
    assert len(names(tmp_path)) == 16
