"""What is a decision and what is none."""

import json

import pytest

from ztproxy.model import StepUp
from ztproxy.policy.decision import Malformed, Readings, Verdict, may_be_set, read

DECLARED = frozenset({"x-role", "x-team"})


def reading(value, declared=DECLARED):
    return read(value if isinstance(value, bytes) else json.dumps(value).encode(), declared)


def malformed(value):
    found = reading(value)
    assert isinstance(found, Malformed), found
    return found.cause


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (True, Verdict(True)),
        (False, Verdict(False)),
        ({"allow": True}, Verdict(True)),
        ({"allow": False, "reasons": ["no role", "not now"]}, Verdict(False, ("no role", "not now"))),
        ({"allow": True, "max_age": 0}, Verdict(True, max_age=0.0)),
        ({"allow": True, "max_age": 2.5}, Verdict(True, max_age=2.5)),
        ({"allow": True, "headers": {"X-Role": "clerk"}}, Verdict(True, headers=((b"x-role", b"clerk"),))),
        ({"allow": True, "headers": {"x-team": ""}, "reasons": []}, Verdict(True, headers=((b"x-team", b""),))),
        (b' {"allow" : true } ', Verdict(True)),
        (
            {"allow": True, "step_up": {"acr_values": ["urn:mfa", "high"], "max_age": 300}},
            Verdict(True, step_up=StepUp(("urn:mfa", "high"), 300)),
        ),
        ({"allow": False, "step_up": {"max_age": 10}}, Verdict(False, step_up=StepUp((), 10))),
    ],
)
def test_decisions(value, verdict):
    assert reading(value) == verdict


@pytest.mark.parametrize(
    "value",
    [
        "true",
        "",
        1,
        0,
        1.0,
        None,
        [],
        [True],
        {},
        {"allow": "true"},
        {"allow": 1},
        {"allow": None},
        {"allow": [True]},
        {"allow": {}},
        {"Allow": True},
        {"allowed": True},
        {"allow": True, "deny": False},
        {"allow": True, "": 1},
        {"allow": True, "reasons": "because"},
        {"allow": True, "reasons": [1]},
        {"allow": True, "reasons": [None]},
        {"allow": True, "reasons": {"a": True}},
        {"allow": True, "reasons": None},
        {"allow": True, "max_age": "60"},
        {"allow": True, "max_age": None},
        {"allow": True, "max_age": True},
        {"allow": True, "max_age": -1},
        {"allow": True, "headers": None},
        {"allow": True, "headers": ["x-role"]},
        {"allow": True, "headers": {"x-role": 1}},
        {"allow": True, "headers": {"x-role": ["a"]}},
        {"decision": {"allow": True}},
        b"",
        b"tru",
        b"true true",
        b'{"allow":true',
        b'{"allow":true}{}',
        b'{"allow":true,"max_age":NaN}',
        b'{"allow":true,"max_age":1e999}',
        b'{"allow":true,"reasons":["\xff"]}',
        b'{"allow":true,"reasons":["\\ud800"]}',
        b"\xef\xbb\xbftrue",
        b"[" * 100_000,
        b'{"allow":' * 10_000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_anything_else_is_none(value):
    assert "decision" in malformed(value) or "max_age" in malformed(value)


@pytest.mark.parametrize("value", [{}, None, False, {"key": "token.subject", "rate": "1/second"}])
def test_a_demand_that_cannot_be_met_is_never_ignored(value):
    assert "limit" in malformed({"allow": True, "limit": value})


@pytest.mark.parametrize(
    "value",
    [
        {},
        None,
        False,
        "high",
        {"acr_values": []},
        {"acr_values": "high"},
        {"acr_values": ["high", 2]},
        {"acr_values": ["a b"]},
        {"acr_values": ['a"']},
        {"acr_values": ["a\\"]},
        {"acr_values": [""]},
        {"acr_values": ["a\r\nSet-Cookie: x"]},
        {"acr_values": ["x" * 257]},
        {"acr_values": ["x"] * 9},
        {"acr_values": ["high"], "max_age": None},
        {"max_age": 0},
        {"max_age": 9},
        {"max_age": -1},
        {"max_age": 1.5},
        {"max_age": True},
        {"max_age": 10**12},
        {"max_age": 300, "prompt": "login"},
    ],
    ids=repr,
)
def test_a_login_that_could_never_do_is_never_asked_for(value):
    malformed({"allow": True, "step_up": value})


@pytest.mark.parametrize(
    "reason",
    ["a\nb", "a\r", "\0", "\x1b[31m", "\x7f", "\x85", "\x9b31m", "\u2028", "\u202edenied", "\u2066"],
)
def test_reasons_hold_no_control_characters(reason):
    assert "control" in malformed({"allow": False, "reasons": ["fine", reason]})


def test_reasons_may_be_of_any_language():
    assert reading({"allow": False, "reasons": ["Zugriff verweigert: ü", "拒否", "🙅"]}).reasons[1] == "拒否"


def test_reasons_are_bounded():
    assert len(reading({"allow": True, "reasons": ["r"] * 64}).reasons) == 64
    assert "64" in malformed({"allow": True, "reasons": ["r"] * 65})
    assert reading({"allow": True, "reasons": ["é" * 2048]}).allow
    assert "4096" in malformed({"allow": True, "reasons": ["é" * 2048 + "x"]})
    assert reading({"allow": True, "reasons": ["r" * 4096] * 8}).allow
    assert "32768" in malformed({"allow": True, "reasons": ["r" * 4096] * 8 + ["r"]})


def test_a_result_too_large_is_not_even_parsed():
    assert "octets" in malformed(b'{"allow":true' + b" " * 200_000 + b"}")


@pytest.mark.parametrize("name", ["x-other", "X_Role", "x-role ", "", "x-role\r\nhost", "x-rolé"])
def test_headers_are_declared(name):
    assert "declare" in malformed({"allow": True, "headers": {name: "1"}})


@pytest.mark.parametrize(
    "name",
    [
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "host",
        "authorization",
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-request-id",
        "x-ztproxy-assertion",
        "client-cert",
        "client-cert-chain",
        "x_role",
    ],
)
def test_no_header_frames_or_is_ours_even_when_declared(name):
    assert not may_be_set(name)
    assert isinstance(reading({"allow": True, "headers": {name: "1"}}, frozenset({name})), Malformed)


@pytest.mark.parametrize(
    "value", ["a\r\nx: 1", "a\n", "\0", "\t", "a\tb", " a", "a ", "é", "\x7f", "\x1b", "x" * 4097, "\u010a"]
)
def test_header_values_are_short_printable_ascii(value):
    assert "ASCII" in malformed({"allow": True, "headers": {"x-role": value}})


def test_a_header_is_set_once():
    assert "twice" in malformed({"allow": True, "headers": {"X-Role": "a", "x-role": "b"}})


def test_headers_are_bounded():
    names = [f"x-{i}" for i in range(33)]
    assert "32" in reading({"allow": True, "headers": dict.fromkeys(names, "1")}, frozenset(names)).cause


class TestReadings:
    def test_the_same_octets_read_alike_for_the_same_declarations_only(self):
        readings = Readings()
        result = b'{"allow":true,"headers":{"x-role":"a"}}'
        for _ in range(2):
            assert isinstance(readings.read(result, DECLARED), Verdict)
            assert isinstance(readings.read(result, frozenset()), Malformed)
        assert readings.read(b"true", DECLARED).allow is True
        assert readings.read(b"false", DECLARED).allow is False
        assert isinstance(readings.read(b"1", DECLARED), Malformed)

    def test_it_is_bounded(self):
        readings = Readings()
        for number in range(1000):
            readings.read(b'{"allow":true,"max_age":%d}' % number, DECLARED)
        assert len(readings._kept) == 256
        readings.read(b"true" + b" " * 5000, DECLARED)
        assert max(len(result) for result, _ in readings._kept) < 100
