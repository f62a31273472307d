import hashlib

import pytest

from ztproxy.workers.manifest import NAME, disagreement


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "teams").mkdir()
    (tmp_path / "authz.rego").write_text("package a\n")
    (tmp_path / "teams" / "data.json").write_text("{}")
    written(tmp_path)
    return tmp_path


def written(directory, *, extra=""):
    names = ["authz.rego", "teams/data.json"]
    lines = [f"{hashlib.sha256((directory / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (directory / NAME).write_text("".join(lines) + extra)


def test_a_directory_that_is_what_its_manifest_says(directory):
    assert disagreement(directory) is None
    (directory / NAME).write_text((directory / NAME).read_text().replace("  ", " *./"))
    assert disagreement(directory) is None


def test_a_file_that_changed(directory):
    (directory / "teams" / "data.json").write_text("[]")
    assert "teams/data.json is not what it says" in disagreement(directory)


def test_a_file_that_is_not_listed(directory):
    (directory / "more.rego").write_text("package a\n")
    assert "does not list more.rego" in disagreement(directory)


def test_a_file_that_is_not_there_yet(directory):
    (directory / "authz.rego").unlink()
    assert "lists authz.rego, which is not there" in disagreement(directory)


@pytest.mark.parametrize("extra", ["nonsense\n", "0" * 64 + "  authz.rego\n", "0" * 64 + "  \n"])
def test_a_manifest_that_is_none(directory, extra):
    written(directory, extra=extra)
    assert "not what `sha256sum` writes" in disagreement(directory)


def test_no_manifest_at_all(directory):
    (directory / NAME).unlink()
    assert "cannot be checked" in disagreement(directory)
