import json
import re

import pytest
import yaml

from tests.pki import Authority
from ztproxy.cli.main import main

PLAIN = """version: 1
listeners: [{address: "127.0.0.1:0", protocol: http}]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


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
    assert main(["config", "check"]) == 2
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
    assert "in order; 1 listener, 1 route" in capsys.readouterr().out
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


def prepared(folder, **more):
    main(["config", "init"])
    certificates(folder)
    with (folder / "ztproxy.yaml").open("a") as file:
        file.writelines(f"{key}: {value}\n" for key, value in more.items())


def test_check_says_nothing_on_standard_error_when_all_is_well_and_warns_else(folder, capsys):
    prepared(folder)
    capsys.readouterr()
    assert main(["config", "check"]) == 0
    said = "policy.show_reasons: the refused see the policy's reasons"
    assert capsys.readouterr().err == f"{folder}/ztproxy.yaml: warning: {said}\n"
    text = (folder / "ztproxy.yaml").read_text()
    (folder / "ztproxy.yaml").write_text(text.replace("show_reasons: true ", "show_reasons: false "))
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().err == ""


def test_check_warns_of_an_expired_server_certificate(folder, capsys):
    prepared(folder)
    import datetime as dt

    Authority.new().server(not_after=dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).write(folder / "certs", "gateway")
    assert main(["config", "check"]) == 0
    assert "gateway.pem: expired on" in capsys.readouterr().err


def test_what_a_named_file_lacks_is_said_at_the_place_that_names_it(folder, capsys):
    prepared(folder)
    key = (folder / "certs" / "gateway.key").read_bytes()
    Authority.new().server().write(folder / "certs", "gateway")
    (folder / "certs" / "gateway.key").write_bytes(key)
    assert main(["config", "check"]) == 1
    assert re.search(r"ztproxy\.yaml:8:47: \S+/certs/gateway\.key: is not the key of", capsys.readouterr().err)
    assert main(["run"]) == 2
    assert re.search(r"ztproxy\.yaml:8:47: \S+/certs/gateway\.key: is not the key of", capsys.readouterr().err)


def test_a_policy_error_has_the_policys_own_place_first(folder, capsys):
    prepared(folder)
    (folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := x\n")
    assert main(["config", "check"]) == 1
    assert capsys.readouterr().err.startswith(f"{folder}/policies/authz.rego:3:13: ")


@pytest.mark.parametrize("given", ["policy: nonsense", "policy: [nonsense]", "policy: 1"])
def test_a_policy_section_that_is_none_is_said_even_with_a_directory_beside(folder, capsys, given):
    prepared(folder)
    text = re.sub(r"^policy:\n( .*\n)+", f"{given}\n", (folder / "ztproxy.yaml").read_text(), flags=re.MULTILINE)
    (folder / "ztproxy.yaml").write_text(text)
    assert main(["config", "check", "--policy", "policies"]) == 2
    assert re.search(r"ztproxy\.yaml:\d+:1: `policy`: input should be a mapping of keys", capsys.readouterr().err)


def test_a_number_of_thousands_of_digits_is_no_traceback(folder, capsys):
    prepared(folder, drain="1" * 5000)
    assert main(["config", "check"]) == 2
    assert "this number is too long" in capsys.readouterr().err


def test_wrong_keys_are_told_as_json_too(folder, capsys):
    prepared(folder, nonsense=1)
    capsys.readouterr()
    assert main(["config", "check", "--json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "unknown key `nonsense`" in problem


def test_a_log_that_cannot_be_written_is_found_by_check_and_named_by_run(folder, capsys):
    (folder / "taken").write_text("")
    (folder / "folder").mkdir()
    for target in ("taken/access.log", "folder"):
        (folder / "ztproxy.yaml").write_text(PLAIN + f"logs: {{access: {target}}}\n")
        (folder / "policies").mkdir(exist_ok=True)
        (folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
        assert main(["config", "check"]) == 1
        assert re.search(rf"ztproxy\.yaml:5:16: logs\.access: \S+{target}: ", capsys.readouterr().err)
        assert main(["run"]) == 2
        assert re.search(rf"ztproxy\.yaml:5:16: logs\.access: \S+{target}: ", capsys.readouterr().err)


def test_required_decisions_that_cannot_be_recorded_are_a_problem_and_others_a_warning(folder, capsys):
    (folder / "taken").write_text("")
    (folder / "policies").mkdir()
    (folder / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    text = PLAIN + "logs: {decisions: taken/decisions.db}\n"
    (folder / "ztproxy.yaml").write_text(text)
    assert main(["config", "check"]) == 0
    assert "warning: logs.decisions: " in capsys.readouterr().err
    (folder / "ztproxy.yaml").write_text(text + "decisions: {required: true}\n")
    assert main(["config", "check"]) == 1
    assert main(["run"]) == 2
    assert capsys.readouterr().err.count("logs.decisions: ") == 2


def test_a_state_folder_that_cannot_be_made_is_warned_of(folder, capsys):
    (folder / "taken").write_text("")
    prepared(folder, state="taken/state")
    assert main(["config", "check"]) == 0
    assert "warning: state: " in capsys.readouterr().err


def test_init_into_what_is_no_folder_could_not_run(folder, capsys):
    (folder / "taken").write_text("")
    with pytest.raises(SystemExit) as ended:
        main(["config", "init", "taken"])
    assert ended.value.code == 2
    assert "taken" in capsys.readouterr().err
