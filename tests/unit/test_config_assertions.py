"""What may be said about assertions in the configuration, and where it is told what may not."""

import pytest

from tests.unit.test_config_loading import PLAIN, problems
from ztproxy.config.loading import parse

KEY = 'assertion: {key: a.key, issuer: "https://gateway.test"}\n'
ISSUER = 'issuers: [{issuer: "https://idp.test", audiences: [z], groups: {}}]\n'


def test_a_mapping_and_a_routes_own(tmp_path):
    text = (
        PLAIN
        + ISSUER
        + (
            "    assertion: {audience: orders.corp.example, claims: {roles: token.roles}}\n"
            'assertion: {keys: ring, issuer: "https://gateway.test", claims: {email: token.claims.email, '
            '"https://corp/spiffe": certificate.spiffe_id}}\n'
        )
    )
    text = text.replace(ISSUER, "") + ISSUER
    settings = parse(text, tmp_path / "z.yaml")
    assert settings.assertion.keys == tmp_path / "ring"
    assert settings.assertion.claims["https://corp/spiffe"] == "certificate.spiffe_id"
    own = settings.routes[0].assertion
    assert (own.audience, own.claims) == ("orders.corp.example", {"roles": "token.roles"})
    off = parse(PLAIN + "    assertion: {off: true}\n" + KEY, tmp_path / "z.yaml")
    assert off.routes[0].assertion.off


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf", "token_issuer"])
def test_no_mapping_writes_a_claim_that_has_a_meaning(tmp_path, name):
    text = PLAIN + KEY.replace("}", f",\n  claims: {{x: token.subject,\n    {name}: token.claims.email}}}}")
    (problem,) = problems(text, tmp_path)
    assert problem.startswith("z.yaml:11:")
    assert f"`{name}` has a meaning of its own" in problem
    route = PLAIN + f"    assertion: {{claims: {{{name}: token.claims.email}}}}\n" + KEY
    (problem,) = problems(route, tmp_path)
    assert problem.startswith("z.yaml:9:")
    assert f"`{name}` has a meaning of its own" in problem


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ("{x: token.signature}", "a claim is made of token.claims.NAME, token.subject"),
        ("{x: request.headers.cookie}", "a claim is made of"),
        ("{x: request.id}", "a claim is made of"),
        ("{x: token.claims.}", "a claim is made of"),
        ("{x: certificate.der}", "a claim is made of"),
        ("{x: certificate.not_after.__class__}", "a claim is made of"),
        ("{x: 7}", "string"),
        ('{"a b": token.subject}', "a claim's name is visible ASCII"),
        ('{"": token.subject}', "a claim's name is visible ASCII"),
        ('{"a\\"b": token.subject}', "a claim's name is visible ASCII"),
        ("{" + ", ".join(f"c{n}: token.subject" for n in range(65)) + "}", "at most 64"),
        ("{groups: token.groups}", "no issuer has `groups`"),
    ],
)
def test_what_a_claim_cannot_be_made_of(tmp_path, claims, expected):
    found = problems(PLAIN + KEY.replace("}", f", claims: {claims}}}"), tmp_path)
    assert len(found) == 1
    assert found[0].startswith("z.yaml:9:")
    assert expected in found[0]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ('{issuer: "https://g.test"}', "either `key` or one of `keys`"),
        ('{issuer: "https://g.test", key: a, keys: b}', "either `key` or one of `keys`"),
        ('{issuer: "https://g.test", key: a, lifetime: 2h}', "lifetime"),
        ('{issuer: "https://g.test", key: a, key_cache: 2d}', "key_cache"),
        ('{issuer: "https://g.test", key: a, published: [nowhere.json]}', "no such file"),
        ('{issuer: "g.test", key: a}', "a URL is https://host"),
    ],
)
def test_a_section_that_cannot_work(tmp_path, section, expected):
    (problem,) = problems(PLAIN + f"assertion: {section}\n", tmp_path)
    assert problem.startswith("z.yaml:9:")
    assert expected in problem


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("{audience: x}", "there is no `assertion` section"),
        ("{claims: {}}", "there is no `assertion` section"),
        ('{audience: "a b"}', "an audience is visible ASCII"),
        ("on", "assertion"),
        ("{off: true, audience: x}", "with `off: true` there is no assertion"),
    ],
)
def test_a_route_that_cannot_work(tmp_path, own, expected):
    found = problems(PLAIN + f"    assertion: {own}\n", tmp_path)
    assert expected in found[0]
    assert found[0].startswith("z.yaml:9:")
