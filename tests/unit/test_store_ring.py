import os
import stat

import pytest

from ztproxy.store.ring import KEY, MOST_KEYS, Ring, load_or_create, read_keys, rotate, written
from ztproxy.store.unusable import StoreError

OLD, NEW = os.urandom(KEY), os.urandom(KEY)


def test_what_is_sealed_opens_for_its_purpose_and_context_alone():
    ring = Ring([NEW])
    sealed = ring.seal("session", b"key", b"plain")
    assert ring.open("session", b"key", sealed) == b"plain"
    assert ring.open("session", b"another", sealed) is None
    assert ring.open("login", b"key", sealed) is None
    assert ring.open("session", b"", sealed) is None


def test_purpose_and_context_do_not_run_into_each_other():
    ring = Ring([NEW])
    assert ring.open("sess", b"ionkey", ring.seal("session", b"key", b"plain")) is None


def test_any_octet_that_is_changed_or_cut_off_spoils_it():
    ring = Ring([NEW])
    sealed = ring.seal("session", b"key", b"plain")
    for at in range(len(sealed)):
        assert ring.open("session", b"key", sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None
        assert ring.open("session", b"key", sealed[:at]) is None
    assert ring.open("session", b"key", sealed + b"\0") is None


def test_the_first_key_seals_and_all_of_them_open():
    before, between, after = Ring([OLD]), Ring([NEW, OLD]), Ring([NEW])
    old = before.seal("session", b"key", b"plain")
    new = between.seal("session", b"key", b"plain")
    assert between.open("session", b"key", old) == b"plain"
    assert after.open("session", b"key", new) == b"plain"
    assert before.open("session", b"key", new) is None
    assert after.open("session", b"key", old) is None, "a key that is gone opens nothing"


def test_names_follow_the_ring_the_newest_first():
    (old,), names, (new,) = (Ring(keys).names("session", b"secret") for keys in ([OLD], [NEW, OLD], [NEW]))
    assert names == (new, old)
    assert Ring([NEW]).names("login", b"secret") != (new,)
    assert Ring([NEW]).names("session", b"secreT") != (new,)
    assert len(new) == 32


def test_no_two_seals_share_key_and_nonce():
    ring = Ring([NEW])
    heads = {ring.seal("session", b"key", b"same")[8:36] for _ in range(1000)}
    assert len(heads) == 1000
    assert len({ring.seal("session", b"key", b"same")[36:] for _ in range(1000)}) == 1000


def test_the_keys_that_seal_are_derived_apart():
    ring = Ring([NEW])
    one, other = ring.seal("session", b"key", b"plain"), ring.seal("login", b"key", b"plain")
    assert ring._sealing(ring._first, "session", one[8:24]) != ring._sealing(ring._first, "session", other[8:24])
    assert ring._sealing(ring._first, "session", one[8:24]) != ring._sealing(ring._first, "login", one[8:24])
    assert NEW not in ring._derived.values()


@pytest.mark.parametrize("keys", [[], [b"short"], [NEW, NEW], [os.urandom(KEY) for _ in range(MOST_KEYS + 1)]])
def test_what_is_no_ring_is_a_bug(keys):
    with pytest.raises(ValueError, match="a key ring has"):
        Ring(keys)


def test_a_ring_is_made_once_and_for_us_alone(tmp_path):
    path = tmp_path / "var/session.keys"
    first = load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(path).names("a", b"b") == first.names("a", b"b")


def test_a_ring_that_has_to_exist_is_not_made(tmp_path):
    with pytest.raises(StoreError, match="cannot be read"):
        load_or_create(tmp_path / "session.keys", create=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_ring_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "session.keys"
    path.write_bytes(written([NEW]))
    path.chmod(mode)
    with pytest.raises(StoreError, match="is open to others"):
        load_or_create(path)


def test_a_link_to_a_ring_is_refused(tmp_path):
    load_or_create(tmp_path / "real.keys")
    (tmp_path / "session.keys").symlink_to(tmp_path / "real.keys")
    with pytest.raises(StoreError, match="cannot be read"):
        load_or_create(tmp_path / "session.keys")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "1 to 8"),
        (b"# nothing\n", "1 to 8"),
        (b"c2hvcnQ=\n", "line 1 is no key"),
        (written([NEW]) + b"not base64!\n", "line 3 is no key"),
        (written([NEW]).replace(b"=\n", b"\n"), "line 2 is no key"),
        (written([NEW, NEW]), "different"),
        (written([os.urandom(KEY) for _ in range(9)]), "1 to 8"),
        (b"#" * 20_000, "more than 16384 octets"),
    ],
)
def test_what_is_no_ring_file_is_refused_with_its_line(tmp_path, content, said):
    path = tmp_path / "session.keys"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(StoreError, match=said):
        load_or_create(path)


def test_rotation_puts_a_new_key_first_and_keeps_those_before(tmp_path):
    path = tmp_path / "session.keys"
    ring = load_or_create(path)
    sealed = ring.seal("session", b"key", b"plain")
    before = read_keys(path)
    assert rotate(path) == 2
    assert read_keys(path)[1:] == before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    rotated = load_or_create(path)
    assert rotated.open("session", b"key", sealed) == b"plain"
    assert ring.open("session", b"key", rotated.seal("session", b"key", b"plain")) is None
    assert rotate(path, keep=0) == 1
    assert load_or_create(path).open("session", b"key", sealed) is None


def test_a_ring_never_grows_beyond_what_can_be_read(tmp_path):
    path = tmp_path / "session.keys"
    for _ in range(12):
        made = rotate(path)
    assert made == MOST_KEYS
    assert len(load_or_create(path)) == MOST_KEYS
