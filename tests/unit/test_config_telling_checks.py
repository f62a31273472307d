"""What upstreams are told, and what only the whole configuration shows to be wrong with it."""

import pytest

from tests.unit.test_config_loading import PLAIN, problems
from ztproxy.config.loading import parse

ONE = '{issuer: "https://one.test", audiences: [z]}'
TWO = '{issuer: "https://two.test", audiences: [z]}'
ROUTE = """\
    token_exchange: {client_id: g, client_authentication: none, audience: [orders]}
"""
TOKENS = PLAIN.replace("require: []", "require: [token]")


def test_the_routes_only_issuer_exchanges(tmp_path):
    settings = parse(TOKENS + ROUTE + f"issuers: [{ONE}]\n", tmp_path / "z.yaml")
    assert settings.routes[0].token_exchange.issuer is None
    several = TOKENS + '    issuers: ["https://two.test"]\n' + ROUTE + f"issuers: [{ONE}, {TWO}]\n"
    assert parse(several, tmp_path / "z.yaml").routes[0].token_exchange.audience == ("orders",)


@pytest.mark.parametrize(
    ("base", "route", "issuers", "expected"),
    [
        (TOKENS, ROUTE, f"[{ONE}, {TWO}]", "several issuers"),
        (TOKENS, ROUTE.replace("{", '{issuer: "https://x.test", ', 1), f"[{ONE}]", "no issuer https://x.test"),
        (PLAIN, ROUTE, f"[{ONE}]", "`token_exchange` needs a token of each caller"),
        (TOKENS, ROUTE + "    forward_token: true\n", f"[{ONE}]", "`forward_token` passes the caller's"),
        (TOKENS, ROUTE + "    policy_headers: [aUthorization]\n", f"[{ONE}]", "which `token_exchange` sets"),
        (TOKENS, ROUTE.replace("{", '{token_endpoint: "http://x.test/", ', 1), f"[{ONE}]", "over https only"),
        (TOKENS, ROUTE.replace("[orders]", '["a b"]'), f"[{ONE}]", "audience"),
        (TOKENS, ROUTE.replace("{", "{timeout: 2m, ", 1), f"[{ONE}]", "timeout"),
        (TOKENS, ROUTE.replace("{", "{maximum_age: 2h, ", 1), f"[{ONE}]", "maximum_age"),
        (TOKENS, ROUTE.replace("{", "{requested_token_type: saml2, ", 1), f"[{ONE}]", "access_token"),
        (TOKENS, ROUTE.replace("client_authentication: none, ", ""), f"[{ONE}]", "how does the client show who it is"),
    ],
)
def test_what_cannot_be_exchanged_is_told_with_its_place(tmp_path, base, route, issuers, expected):
    found = problems(base + route + f"issuers: {issuers}\n", tmp_path)
    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("z.yaml:") for problem in found)
