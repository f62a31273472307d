import pytest

from ztproxy.identity.revocation.saved_documents import (
    MOST_FILES,
    OLDEST,
    SavedDocument,
    SavedDocuments,
    UnusableFileError,
)

NOW = 1_800_000_000.0


@pytest.fixture
def saved(tmp_path):
    return SavedDocuments(tmp_path / "var" / "revocation")


def test_what_is_saved_is_there_again_and_for_us_alone(saved):
    path = saved.path([b"a"])
    assert saved.load(path, 10) is None
    saved.save(path, SavedDocument(b"one", NOW))
    saved.save(path, SavedDocument(b"two", NOW + 1))
    assert saved.load(path, 3) == SavedDocument(b"two", NOW + 1)
    assert (path.stat().st_mode & 0o777, saved.folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert list(saved.folder.iterdir()) == [path]
    saved.renew(path, NOW + 9)
    assert saved.load(path, 3).fetched_at == NOW + 9
    saved.renew(saved.path([b"b"]), NOW)


def test_names_belong_to_all_that_they_are_made_of(saved):
    names = {saved.path(parts) for parts in ([b"ab"], [b"a", b"b"], [b"b", b"a"], [b"ab", b""], [])}
    assert len(names) == 5


def test_what_is_too_large_or_no_file_is_not_read(saved):
    path = saved.path([b"a"])
    saved.save(path, SavedDocument(b"four", NOW))
    with pytest.raises(UnusableFileError, match="too large"):
        saved.load(path, 3)
    path.unlink()
    path.mkdir()
    with pytest.raises((UnusableFileError, OSError)):
        saved.load(path, 3)


def test_what_nobody_renews_and_the_oldest_of_too_many_go(saved, monkeypatch):
    assert MOST_FILES > 8192
    monkeypatch.setattr("ztproxy.identity.revocation.saved_documents.MOST_FILES", 3)
    saved.sweep(NOW)  # there is no folder yet
    paths = [saved.path([bytes([number])]) for number in range(6)]
    for number, path in enumerate(paths):
        saved.save(path, SavedDocument(b"x", NOW - number))
    saved.renew(paths[1], NOW - OLDEST - 1)
    saved.sweep(NOW)
    assert [path.exists() for path in paths] == [True, False, True, True, False, False]


def test_a_folder_that_cannot_be_swept_is_left_alone(saved):
    saved.folder.parent.mkdir()
    saved.folder.write_text("a file")
    saved.sweep(NOW)
    with pytest.raises(OSError, match=r"exists|directory"):
        saved.save(saved.path([b"a"]), SavedDocument(b"x", NOW))
