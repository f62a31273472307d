"""What is wrong with a login is said at the start, at its place."""

import pytest
from pydantic import ValidationError

from tests.pki import Authority
from ztproxy.config.loading import ConfigError, parse
from ztproxy.config.login import Login

ISSUER = "https://login.corp.example"
GOOD = {"issuer": ISSUER, "client_id": "ztproxy", "client_authentication": "none"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id": ""},
        {"client_id": "a\nb"},
        {"client_authentication": None},
        {"client_authentication": "client_secret_basic"},
        {"scopes": ["profile"]},
        {"scopes": ["openid", "two words"]},
        {"scopes": ["openid", 'a"b']},
        {"host": "*"},
        {"host": "*.corp.example"},
        {"host": "https://login.corp.example"},
        {"host": "Login.corp.example"},
        {"host": "login.corp.example:0"},
        {"host": "login.corp.example/x"},
        {"host": "login.corp.example\n"},
        {"prompt": "none"},
        {"max_age": "500ms"},
        {"max_age": "1500ms"},
        {"acr_values": ["a b"]},
        {"acr_values": [""]},
        {"parameters": {"redirect_uri": "https://evil.test"}},
        {"parameters": {"state": "x"}},
        {"parameters": {"response_mode": "fragment"}},
        {"parameters": {"a b": "x"}},
        {"parameters": {"request": "x"}},
        {"unknown": 1},
    ],
)
def test_a_login_that_cannot_be_meant(wrong):
    with pytest.raises(ValidationError):
        Login.model_validate(GOOD | wrong)


def test_a_login_host_is_written_as_browsers_name_it():
    assert Login.model_validate(GOOD | {"host": "login.corp.example:443"}).host == "login.corp.example"
    assert Login.model_validate(GOOD | {"host": "login.corp.example:8443"}).host == "login.corp.example:8443"


CONFIGURATION = """\
version: 1
listeners:
  - {{address: 127.0.0.1:8443, certificates: [{{certificate: gateway.pem, key: gateway.key}}]}}
{listener}
issuers: [{{issuer: "https://login.corp.example", audiences: [ztproxy]}}]
login: {login}
policy: {{path: policies}}
routes:
  - {{name: app, hosts: {hosts}, require: [token], upstream: {{servers: ["http://127.0.0.1:1"]}}{route}}}
"""
ENTRY = '{issuer: "https://login.corp.example", client_id: z, client_authentication: none%s}'

SECRET = ENTRY.replace("none%s", "client_secret_post, client_secret: {env: NO_SUCH_SECRET}")


def problems(folder, **parts):
    Authority.new("Root").server().write(folder, "gateway")
    (folder / "policies").mkdir()
    said = {
        "listener": "",
        "login": f"[{ENTRY % ''}]",
        "hosts": "[app.corp.example]",
        "route": f", login: {ISSUER}",
    } | parts
    try:
        parse(CONFIGURATION.format(**said), folder / "z.yaml")
    except ConfigError as wrong:
        return [(problem.line, problem.message) for problem in wrong.problems]
    return []


def test_a_login_that_fits(tmp_path):
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    ("parts", "line", "said"),
    [
        ({"login": f"[{ENTRY.replace('login.corp', 'other.corp') % ''}]"}, 6, "no issuer https://other.corp.example"),
        ({"login": f"[{ENTRY % ''}, {ENTRY % ''}]"}, 6, "by another entry already"),
        ({"login": f"[{ENTRY % ', host: login.corp.example'}]"}, 6, "has the host login.corp.example"),
        ({"login": f"[{SECRET}]"}, 6, "NO_SUCH_SECRET"),
        ({"login": "[]"}, 9, "no login at https://login.corp.example is configured"),
        ({"route": ""}, 6, "no route names this login"),
        ({"hosts": '["*"]'}, 9, "name the hosts"),
        ({"listener": "  - {address: 127.0.0.1:8080, protocol: http}"}, 4, "people log in over https only"),
        ({"listener": "  - {address: 'unix:/tmp/z.sock', protocol: http}"}, 4, "people log in over https only"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_rest(tmp_path, parts, line, said):
    found = problems(tmp_path, **parts)
    assert any(at == line and said in message for at, message in found), found


@pytest.mark.parametrize(
    "parts",
    [
        {"listener": "  - {address: 127.0.0.1:8080, protocol: http, redirect_to_https: true}"},
        {"listener": '  - {address: 127.0.0.1:8080, protocol: http, trusted_proxies: ["127.0.0.0/8"]}'},
        {"hosts": '["*.corp.example"]'},
        {"hosts": "[app.corp.example, login.corp.example]", "login": f"[{ENTRY % ', host: login.corp.example'}]"},
    ],
)
def test_what_fits(tmp_path, parts):
    assert problems(tmp_path, **parts) == []
