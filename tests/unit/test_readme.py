"""What the README shows is as it says."""

import re
from pathlib import Path

import pytest

from tests.pki import Authority
from ztproxy.cli.main import main
from ztproxy.config.loading import load

README = Path("README.md").read_text()


def shown(language: str) -> str:
    (block,) = re.findall(rf"^ +```{language}\n(.*?)^ +```", README, re.MULTILINE | re.DOTALL)
    return "\n".join(line.removeprefix("   ") for line in block.splitlines()) + "\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZTPROXY_CONFIG", raising=False)
    assert main(["config", "init"]) == 0
    (tmp_path / "certs").mkdir()
    authority = Authority.new()
    authority.server().write(tmp_path / "certs", "gateway")
    authority.write(tmp_path / "certs", "client-ca")
    return tmp_path


def test_the_configuration_can_be_used(folder):
    (folder / "ztproxy.yaml").write_text(shown("yaml"))
    assert load(folder / "ztproxy.yaml").routes[0].name == "orders"
    assert main(["config", "check"]) == 0


def test_the_policy_is_the_one_that_init_writes_and_passes_its_tests(folder):
    written = (folder / "policies" / "authz.rego").read_text()
    assert written.endswith(shown("rego"))
    assert main(["policy", "test"]) == 0


def test_the_file_names_in_links_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert Path(target).exists(), target
