"""Which key signs at what time, which are published, and what a ring refuses to be."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from ztproxy.config.assertions import Assertion
from ztproxy.upstream import UnusableFileError
from ztproxy.upstream.key_ring import FIRST, Kept, KeyRing, load_ring, over, path_from, ring_of
from ztproxy.upstream.signing_key import create, load

NOW = 1_700_000_000.0


def assertion(folder, **changes):
    values = {"keys": folder / "ring", "issuer": "https://gateway.test", "lifetime": "60s", "key_cache": "5m"}
    return Assertion.model_validate(values | changes)


def ring(folder, *times):
    """The first key and those that sign from so many seconds after `NOW`."""
    paths = [folder / "ring" / FIRST, *(path_from(folder / "ring", NOW + time) for time in times)]
    for path in paths:
        create(path)
    return [load(path).kid for path in paths]


def published(made):
    return [key["kid"] for key in json.loads(made.jwks)["keys"]]


def test_the_first_is_made_readable_by_nobody_else(tmp_path):
    made = load_ring(assertion(tmp_path), NOW)
    path = tmp_path / "ring" / FIRST
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert load_ring(assertion(tmp_path), NOW).jwks == made.jwks
    assert published(made) == [made.signing(NOW).kid] == [load(path).kid]


def test_nodes_that_start_together_agree_on_the_first(tmp_path):
    with ThreadPoolExecutor(8) as nodes:
        made = list(nodes.map(lambda _: load_ring(assertion(tmp_path), NOW).jwks, range(8)))
    assert len(set(made)) == 1


def test_the_newest_whose_time_has_come_signs_and_all_are_published(tmp_path):
    first, second, third = ring(tmp_path, 100, 200)
    made = load_ring(assertion(tmp_path), NOW)
    assert published(made) == [first, second, third]
    signs = [made.signing(NOW + later).kid for later in (-1e9, 99.9, 100, 199.9, 200, 1e9)]
    assert signs == [first, first, second, second, third, third]


def test_before_all_of_them_the_oldest_signs(tmp_path):
    key = load_ring(assertion(tmp_path), NOW).signing(NOW)
    assert KeyRing([(NOW + 5, key)], b"").signing(NOW) is key


def test_an_old_key_stays_until_its_last_assertion_is_over_and_no_longer(tmp_path):
    first, second = ring(tmp_path, 0)
    told = assertion(tmp_path)
    assert published(load_ring(told, NOW + 60 + 300 - 1)) == [first, second]
    assert published(load_ring(told, NOW + 60 + 300)) == [second]
    kept = ring_of(told.keys)
    assert list(over(kept, NOW + 60 + 300, told)) == [Kept(float("-inf"), told.keys / FIRST)]


def test_a_single_key_is_a_ring_of_one(tmp_path):
    told = assertion(tmp_path, keys=None, key=tmp_path / "a.key")
    made = load_ring(told, NOW)
    assert published(made) == [load(tmp_path / "a.key").kid] == [made.signing(NOW).kid]


@pytest.mark.parametrize("name", ["second.pem", "from-.pem", "from-20261341T000000Z.pem", "from-20260101T000000.pem"])
def test_a_key_without_a_time_stops_the_start(tmp_path, name):
    ring(tmp_path)
    create(tmp_path / "ring" / name)
    with pytest.raises(UnusableFileError, match=f"{name}: a key's file is named first.pem or from-"):
        load_ring(assertion(tmp_path), NOW)


def test_what_is_no_key_of_it_is_left_alone(tmp_path):
    ring(tmp_path)
    (tmp_path / "ring" / "README").write_text("?")
    (tmp_path / "ring" / ".from-20260101T000000Z.pem.abc").write_text("half written")
    (tmp_path / "ring" / ".half.pem").write_text("half written")
    assert len(published(load_ring(assertion(tmp_path), NOW))) == 1


def test_a_directory_that_everybody_writes_to_stops_the_start(tmp_path):
    ring(tmp_path)
    (tmp_path / "ring").chmod(0o777)
    with pytest.raises(UnusableFileError, match="everybody may put a signing key here"):
        load_ring(assertion(tmp_path), NOW)


def test_a_ring_without_bound_stops_the_start(tmp_path):
    ring(tmp_path, *range(16))
    with pytest.raises(UnusableFileError, match="more than 16 keys"):
        load_ring(assertion(tmp_path), NOW)


def test_a_file_in_place_of_the_directory_stops_the_start(tmp_path):
    (tmp_path / "ring").write_text("")
    with pytest.raises(UnusableFileError, match="cannot be read"):
        load_ring(assertion(tmp_path), NOW)


def test_an_old_key_that_is_over_need_not_even_be_readable(tmp_path):
    _, second = ring(tmp_path, 0)
    (tmp_path / "ring" / FIRST).write_text("damaged")
    assert published(load_ring(assertion(tmp_path), NOW + 3600)) == [second]
    with pytest.raises(UnusableFileError, match="no unencrypted PEM private key"):
        load_ring(assertion(tmp_path), NOW)
