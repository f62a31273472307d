import json
import re

import pytest
import yaml

from tests.pki import Authority
from ztproxy.cli.main import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZTPROXY_CONFIG", raising=False)
    return tmp_path


def certificates(folder):
    (folder / "certs").mkdir()
    authority = Authority.new()
    authority.server().write(folder / "certs", "gateway")
    authority.write(folder / "certs", "client-ca")


def test_init_then_check_says_what_is_still_missing(folder, capsys):
    assert main(["config", "init"]) == 0
    assert (folder / "policies" / "authz.rego").exists()
    with pytest.raises(SystemExit) as ended:
        main(["config", "check"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert re.search(r"ztproxy\.yaml:8:\d+: .*gateway\.pem: no such file", said)


def test_init_never_overwrites(folder, capsys):
    (folder / "ztproxy.yaml").write_text("mine")
    assert main(["config", "init"]) == 1
    assert "not overwritten" in capsys.readouterr().err
    assert (folder / "ztproxy.yaml").read_text() == "mine"
    assert not (folder / "policies").exists()


def test_the_starting_files_are_in_order_once_the_certificates_are_there(folder, capsys):
    main(["config", "init"])
    certificates(folder)
    assert main(["config", "check"]) == 0
    assert "in order; 1 listeners, 1 routes" in capsys.readouterr().out
    assert main(["policy", "test", "--policy", "policies"]) == 0


def test_check_builds_what_run_would(folder, capsys):
    main(["config", "init"])
    certificates(folder)
    (folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := nonsense(input)\n")
    assert main(["config", "check", "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out.split("\n", 4)[-1])["problems"]
    assert "authz.rego:3:13" in problem
    assert "undefined function nonsense" in problem


def test_show_masks_nothing_because_secrets_never_stand_there(folder, capsys, monkeypatch):
    main(["config", "init"])
    certificates(folder)
    monkeypatch.setenv("REDIS_SECRET", "hunter2")
    with (folder / "ztproxy.yaml").open("a") as file:
        file.write("assertion: {key: var/a.key, issuer: 'https://gateway.example'}\n")
    text = (folder / "ztproxy.yaml").read_text()
    text = text.replace("limits:\n", "limits:\n  storage: redis://127.0.0.1:1/0\n  password: {env: REDIS_SECRET}\n", 1)
    (folder / "ztproxy.yaml").write_text(text)
    capsys.readouterr()
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "hunter2" not in shown
    assert yaml.safe_load(shown)["limits"]["password"] == {"env": "REDIS_SECRET"}
    assert main(["config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["drain"] == "30s"


def test_schema(capsys):
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "ztproxy configuration"
    assert main(["config", "schema", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Configuration")
