"""`ztproxy policy deps` over real policies, through the library."""

import argparse
import json
from pathlib import Path

import pytest

from ztproxy.cli import policy
from ztproxy.policy.library import LIBRARY

pytestmark = pytest.mark.skipif(not LIBRARY.exists(), reason="the engine is not built: pip install -e .")


@pytest.fixture
def deps(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZTPROXY_CONFIG", raising=False)
    directory = tmp_path / "p"
    directory.mkdir()

    def run(rules, *arguments):
        (directory / "a.rego").write_text(f"package ztproxy.authz\n\n{rules}\n")
        parser = argparse.ArgumentParser()
        policy.register(parser.add_subparsers())
        try:
            parsed = parser.parse_args(["policy", "deps", "--policy", str(directory), *arguments])
            code = parsed.run(parsed)
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return code, said.out.replace(str(directory), "p"), said.err.replace(str(directory), "p")

    return run


def test_it_prints_what_is_read_and_where(deps):
    code, out, err = deps('decision if {\n\tinput.request.method == "GET"\n\tinput.token.subject in data.names\n}')
    assert (code, err) == (0, "")
    assert "  input.request.method  (p/a.rego:4)\n  input.token.subject  (p/a.rego:5)\n" in out
    assert "  data.names\n" in out
    assert "decisions are remembered" in out


def test_it_names_the_builtin_that_prevents_it_and_where(deps):
    code, out, _ = deps('decision if f\n\nf if rand.intn("x", 2) == 1')
    assert code == 1
    assert "nothing is remembered: rand.intn may answer otherwise  (p/a.rego:5)" in out
    assert "decisions are remembered" not in out


def test_what_the_entrypoint_does_not_reach_prevents_nothing(deps):
    code, out, _ = deps('decision := true\n\nother if rand.intn("x", 2) == input.request.id')
    assert code == 0
    assert out.count("  nothing\n") == 2


def test_the_clock_is_told(deps):
    code, out, _ = deps("decision := time.now_ns() > 5")
    assert code == 0
    assert "the clock: time.now_ns  (p/a.rego:3)" in out


@pytest.mark.parametrize(
    ("rules", "code", "said"),
    [
        ("decision := count(input) > 5", 1, "hardly any decision is asked for again: input holds input.request.id"),
        ("decision := count(input.request) > 5", 1, "input.request holds input.request.id"),
        ("decision := count(input.source) > 5", 1, "input.source holds input.source.port"),
        ('decision := input.request.id == "x"', 1, "input.request.id is another for each request  (p/a.rego:3)"),
        ("decision := input.source.port == 5", 1, "input.source.port is another for each connection"),
        (
            "decision := count(input.token.claims) > 5",
            0,
            "read only the members that are meant: input.token.claims.NAME",
        ),
        (
            "claims := input.token.claims\n\ndecision := claims.a == claims.b",
            0,
            "read only input.token.claims.a, input.token.claims.b",
        ),
        ("decision := input.token != null", 0, "input.token.NAME (input.token.subject alone tells"),
        ('decision := input.request.headers[_] == "x"', 0, "input.request.headers every field counts"),
    ],
)
def test_it_says_what_keeps_decisions_from_being_shared_and_the_smaller_read(deps, rules, code, said):
    found, out, _ = deps(rules)
    assert found == code
    assert said in out


def test_a_policy_that_does_not_compile_cannot_be_looked_at(deps):
    code, _, err = deps("decision := nothing_like_it")
    assert code == 2
    assert "p/a.rego:3" in err


def test_it_says_the_same_as_json(deps):
    code, out, _ = deps('decision if { input.request.id; uuid.rfc4122("x") }', "--json")
    told = json.loads(out)
    assert code == 1
    assert (told["memo"], told["clock"], told["input"]) == (False, False, ["input.request.id"])
    assert told["unrepeatable"] == [{"what": "uuid.rfc4122", "file": "a.rego", "row": 3, "col": 33}]
    assert [one["prevents"] for one in told["advice"]] == [True]


@pytest.mark.parametrize("line", ["memo: off", "engine: server"])
def test_it_says_when_the_configuration_turns_it_off(deps, tmp_path, line):
    start = Path("ztproxy/config/starting/ztproxy.yaml")
    text = (Path(__file__).parents[2] / start).read_text().replace("policy:\n", f"policy:\n  {line}\n", 1)
    (tmp_path / "ztproxy.yaml").write_text(text)
    for name in ("certs/gateway.pem", "certs/gateway.key", "certs/client-ca.pem"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    _, out, err = deps("decision := true")
    assert "nothing is remembered" in out, err
