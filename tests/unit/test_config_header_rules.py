import pytest
from pydantic import ValidationError

from ztproxy.config.header_rules import RequestRules, ResponseRules

OURS = ["X-Request-Id", "X-Forwarded-For", "X-Ztproxy-Assertion", "Client-Cert", "Forwarded", "X-Real-IP"]
FRAMING = ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Expect", "Proxy"]
HOP = ["Proxy-Authorization", "Keep-Alive", "HTTP2-Settings", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"]


@pytest.mark.parametrize("rules", [RequestRules, ResponseRules])
@pytest.mark.parametrize("how", ["set", "add", "remove"])
@pytest.mark.parametrize("name", [*OURS, *FRAMING, *HOP, "x-forwarded-whatever", "X_Role", "a b", "", "x\r\ny", "x:"])
def test_names_that_no_rule_may_have(rules, how, name):
    with pytest.raises(ValidationError):
        rules.model_validate({how: [name] if how == "remove" else {name: "v"}})


@pytest.mark.parametrize("how", ["set", "add"])
@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Remote-User", "X-Auth-Request-User", "X-Original-URL"])
def test_no_request_says_who_asks_by_a_rule(how, name):
    with pytest.raises(ValidationError):
        RequestRules.model_validate({how: {name: "v"}})


@pytest.mark.parametrize("how", ["set", "add"])
@pytest.mark.parametrize(
    "name", ["Set-Cookie", "WWW-Authenticate", "Strict-Transport-Security", "Date", "Access-Control-Allow-Origin"]
)
def test_no_response_sets_what_others_decide(how, name):
    with pytest.raises(ValidationError):
        ResponseRules.model_validate({how: {name: "v"}})


@pytest.mark.parametrize("value", ["", " v", "v ", "a\r\nb", "a\nb", "a\x00b", "é", "v" * 4097])
def test_values_are_printable_and_bounded(value):
    with pytest.raises(ValidationError):
        RequestRules.model_validate({"set": {"X-A": value}})


@pytest.mark.parametrize(
    "rules",
    [
        {"set": {"X-A": "1"}, "add": {"x-a": "2"}},
        {"set": {"X-A": "1"}, "remove": ["X-a"]},
        {"remove": ["X-A", "x-A"]},
        {"set": {"X-A": "1", "x-a": "2"}},
    ],
)
def test_a_name_stands_in_one_place(rules):
    with pytest.raises(ValidationError, match="several"):
        RequestRules.model_validate(rules)


def test_what_is_left_for_the_path():
    rules = ResponseRules.model_validate(
        {"set": {"X-Frame-Options": "DENY"}, "add": {"Via": "z"}, "remove": ["Server"]}
    )
    assert rules.any
    assert rules.replaced == {b"x-frame-options", b"server"}
    assert rules.fields == ((b"x-frame-options", b"DENY"), (b"via", b"z"))
    assert not RequestRules().any
