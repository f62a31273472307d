"""`ztproxy policy check|test|eval` over real policies, through the library."""

import argparse
import json
from pathlib import Path

import pytest

from ztproxy.cli import policy
from ztproxy.policy.library import LIBRARY
from ztproxy.policy.reference import example_document

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")

EXAMPLE = Path(__file__).parents[2] / "policies"
NOON = "2026-09-01T12:00:00+02:00"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.delenv("ZTPROXY_CONFIG", raising=False)


@pytest.fixture
def command(capsys):
    def run(*arguments):
        parser = argparse.ArgumentParser()
        policy.register(parser.add_subparsers())
        try:
            parsed = parser.parse_args(["policy", *map(str, arguments)])
            code = parsed.run(parsed)
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def directory(tmp_path):
    def make(**files):
        folder = tmp_path / "p"
        folder.mkdir()
        for name, text in files.items():
            (folder / f"{name}.rego").write_text(text)
        return folder

    return make


@pytest.fixture
def document(tmp_path):
    file = tmp_path / "input.json"
    file.write_bytes(example_document())
    return file


def deciding(value, more=""):
    return f"package ztproxy.authz\n\n{more}\ndecision := {value}\n"


class TestCheck:
    def test_the_example_is_in_order(self, command):
        code, out, err = command("check", "--policy", EXAMPLE)
        assert (code, err) == (0, "")
        assert "in order" in out

    @pytest.mark.parametrize(
        ("text", "place", "says"),
        [
            ("package ztproxy.authz\ndecision := := true\n", "2:", "unexpected"),
            (deciding("not_a_function(1)"), "4:13", "undefined function not_a_function"),
            (deciding("true if not mispelt(input)"), "4:", "undefined function mispelt"),
            (deciding('http.send({"method": "get", "url": "http://127.0.0.1/"})'), "4:13", "http.send"),
            (deciding("opa.runtime()"), "4:13", "opa.runtime"),
            (deciding("true", "unused if { x := 1 }"), "3:13", "unused"),
            (deciding("true if input := 1"), "4:", "input"),
            ("package ztproxy.authz\nother := true\n", "", "entrypoint"),
        ],
    )
    def test_what_is_wrong_is_said_with_its_place(self, command, directory, text, place, says):
        folder = directory(authz=text)
        code, out, err = command("check", "--policy", folder)
        assert (code, out) == (1, "")
        if place:
            assert err.startswith(f"{folder}/authz.rego:{place}"), err
        assert says in err

    def test_as_json(self, command, directory):
        code, out, _ = command("check", "--policy", directory(authz=deciding("x")), "--json")
        [error] = json.loads(out)["errors"]
        assert code == 1
        assert (error["row"], error["col"]) == (4, 13)

    def test_tests_are_compiled_too(self, command, directory):
        folder = directory(authz=deciding("true"), authz_test="package t\ntest_x if unknown(1)\n")
        code, _, err = command("check", "--policy", folder)
        assert code == 1
        assert "authz_test.rego:2:" in err

    def test_no_such_directory(self, command, tmp_path):
        code, _, err = command("check", "--policy", tmp_path / "none")
        assert code == 2
        assert "no such directory" in err

    def test_neither_policy_nor_configuration(self, command):
        code, _, err = command("check")
        assert code == 2
        assert "config" in err

    def test_no_library(self, command, monkeypatch):
        from ztproxy.policy import library

        def missing():
            raise library.LibraryUnavailableError("it is missing")

        monkeypatch.setattr(library, "library", missing)
        code, _, err = command("check", "--policy", EXAMPLE)
        assert code == 2
        assert "it is missing" in err


class TestTest:
    @pytest.mark.slow
    def test_the_example_passes_and_is_covered(self, command):
        code, out, err = command("test", "--policy", EXAMPLE, "--threshold", 95)
        assert (code, err) == (0, "")
        assert "0 failed" in out

    def test_what_failed_is_said_with_its_place(self, command, directory):
        folder = directory(
            authz=deciding("false", "forbidden if input.x > 1"),
            authz_test="package t\n\ntest_no if {\n\tdata.ztproxy.authz.forbidden with input.x as 1\n}\n",
        )
        code, out, err = command("test", "--policy", folder)
        assert code == 1
        assert f"FAIL {folder}/authz_test.rego:3: data.t.test_no" in out
        assert f"not true: {folder}/authz_test.rego:4:" in out
        assert f"because forbidden was not: {folder}/authz.rego:3:14: input.x > 1" in out
        assert "1 failed" in err

    def test_a_policy_without_tests_has_not_passed(self, command, directory):
        code, _, err = command("test", "--policy", directory(authz=deciding("true")))
        assert code == 1
        assert "there are no tests" in err

    def test_a_filter_that_is_no_expression_could_not_run(self, command):
        code, out, err = command("test", "--policy", EXAMPLE, "--filter", "(")
        assert (code, out) == (2, "")
        assert "--filter: error parsing regexp" in err

    def test_coverage_below_the_threshold(self, command, directory):
        folder = directory(
            authz=deciding("true if input.x == 1", "other if input.y == 1"),
            authz_test="package t\n\ntest_yes if data.ztproxy.authz.decision with input.x as 1\n",
        )
        assert command("test", "--policy", folder)[0] == 0
        code, out, err = command("test", "--policy", folder, "--threshold", 100)
        assert code == 1
        assert "coverage is below 100 %" in err
        assert "authz.rego" in out

    def test_as_json(self, command, directory):
        folder = directory(authz=deciding("true"), authz_test="package t\n\ntest_yes if data.ztproxy.authz.decision\n")
        code, out, _ = command("test", "--policy", folder, "--json", "--filter", "yes")
        assert code == 0
        assert json.loads(out)["passed"] == 1

    def test_what_does_not_compile(self, command, directory):
        code, _, err = command("test", "--policy", directory(authz=deciding("x")))
        assert code == 1
        assert "authz.rego:4:13" in err


class TestEval:
    def test_what_is_allowed(self, command, document):
        code, out, err = command("eval", document, "--policy", EXAMPLE, "--now", NOON)
        assert (code, err) == (0, "")
        assert "outcome   allowed" in out
        assert "the role clerk permits this" in out

    def test_the_time_counts(self, command, document):
        posted = json.loads(document.read_bytes())
        posted["request"]["method"] = "POST"
        document.write_text(json.dumps(posted))
        assert command("eval", document, "--policy", EXAMPLE, "--now", NOON)[0] == 0
        assert command("eval", document, "--policy", EXAMPLE, "--now", "2026-09-01T23:00:00+02:00")[0] == 1
        assert command("eval", document, "--policy", EXAMPLE, "--now", "2026-09-01T23:00:00")[0] == 2

    def test_what_is_not_given_is_null_and_said_so(self, command, tmp_path):
        file = tmp_path / "part.json"
        file.write_text('{"request": {"method": "GET", "segments": ["public"]}}')
        code, _, err = command("eval", file, "--policy", EXAMPLE)
        assert code == 0
        assert "input.token" in err
        assert "input.request.path" in err

    def test_what_no_request_has_is_said(self, command, tmp_path):
        file = tmp_path / "odd.json"
        file.write_text('{"request": {"method": 7}}')
        code, _, err = command("eval", file, "--policy", EXAMPLE)
        assert code == 1
        assert "input.request.method" in err

    @pytest.mark.parametrize(
        ("value", "outcome"),
        [
            ("true", "allowed"),
            ("false", "policy-denied"),
            ('{"allow": true, "headers": {"X-Role": "a"}}', "allowed"),
            ('"true"', "policy-malformed"),
            ("{}", "policy-malformed"),
            ("null", "policy-malformed"),
            ('{"allow": true, "limit": {"key": "k"}}', "policy-malformed"),
            ('{"allow": true, "headers": {"Host": "a"}}', "policy-malformed"),
            ("true if input.request.method == 1", "policy-undefined"),
            ("1 / to_number(input.request.scheme)", "policy-error"),
        ],
    )
    def test_how_the_proxy_would_read_it(self, command, directory, document, value, outcome):
        code, out, _ = command("eval", document, "--policy", directory(authz=deciding(value)), "--json")
        told = json.loads(out)
        assert told["outcome"] == outcome
        assert code == (0 if outcome == "allowed" else 1)
        assert bool(told["cause"]) == (outcome not in {"allowed", "policy-denied"})

    def test_explained(self, command, document):
        code, out, _ = command("eval", document, "--policy", EXAMPLE, "--now", NOON, "--explain")
        assert code == 0
        assert f"true   permit  {EXAMPLE}/authz.rego:" in out
        assert f"false  deny  {EXAMPLE}/authz.rego:" in out
        told = json.loads(command("eval", document, "--policy", EXAMPLE, "--explain", "full", "--json")[1])
        assert told["rules"]
        assert told["trace"]

    def test_from_standard_input(self, command, monkeypatch):
        import io
        import sys

        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(example_document())))
        assert command("eval", "-", "--policy", EXAMPLE, "--now", NOON)[0] == 0

    @pytest.mark.parametrize("text", ["", "{", "[]", "7", '"x"', "[" * 100_000])
    def test_what_is_no_document(self, command, tmp_path, text):
        file = tmp_path / "bad.json"
        file.write_text(text)
        code, _, err = command("eval", file, "--policy", EXAMPLE)
        assert code == 2
        assert str(file) in err

    def test_no_such_file(self, command, tmp_path):
        assert command("eval", tmp_path / "none.json", "--policy", EXAMPLE)[0] == 2

    def test_a_policy_that_does_not_compile(self, command, directory, document):
        code, _, err = command("eval", document, "--policy", directory(authz=deciding("x")))
        assert code == 2
        assert "authz.rego:4:13" in err


class TestConfiguration:
    """The configuration names the policy, its entrypoint and what decisions may set."""

    @pytest.fixture
    def configured(self, tmp_path):
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "a.rego").write_text(
            "package corp\n\n"
            'verdict := {"allow": true, "headers": {"X-Role": "a", "X-Team": "b"}} if input.token != null\n'
            'verdict := {"allow": true, "headers": {"X-Role": "a"}} if input.token == null\n'
        )
        file = tmp_path / "ztproxy.yaml"
        file.write_text("""
version: 1
listeners: [{address: "127.0.0.1:8080", protocol: http}]
policy: {path: rules/, entrypoint: corp/verdict}
routes:
  - name: orders
    hosts: ["*"]
    require: []
    policy_headers: [X-Role]
    upstream: {servers: ["http://127.0.0.1:8081"]}
""")
        return file

    def test_it_names_the_policy(self, command, configured):
        code, out, err = command("check", "--config", configured)
        assert (code, err) == (0, "")
        assert "entrypoint corp/verdict" in out

    def test_a_directory_in_its_place_keeps_its_entrypoint(self, command, configured, directory):
        code, _, err = command("check", "--config", configured, "--policy", directory(authz=deciding("true")))
        assert code == 1
        assert "corp" in err

    def test_headers_are_read_as_the_route_declares_them(self, command, configured, tmp_path):
        file = tmp_path / "in.json"
        file.write_text('{"request": {"route": "orders"}}')
        assert command("eval", file, "--config", configured)[0] == 0
        file.write_text('{"request": {"route": "orders"}, "token": {"issuer": "x"}}')
        code, out, _ = command("eval", file, "--config", configured)
        assert code == 1
        assert "policy-malformed" in out
        assert "x-team" in out.lower()
        file.write_text('{"request": {"route": "elsewhere"}}')
        assert command("eval", file, "--config", configured)[0] == 1

    def test_a_configuration_that_is_wrong_ends_it(self, command, configured):
        configured.write_text(configured.read_text().replace("entrypoint", "entry_point"))
        code, _, err = command("check", "--config", configured)
        assert code == 2
        assert "ztproxy.yaml:" in err
