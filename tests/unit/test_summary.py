import pytest

from tests.pki import Authority
from ztproxy.config.loading import parse
from ztproxy.parts import build
from ztproxy.summary import summary

TEXT = """\
version: 1
listeners:
  - address: 0.0.0.0:8443
    certificates: [{certificate: gateway.pem, key: gateway.key}]
    client_certificates: {authorities: [ca.pem], mode: optional}
  - {address: "0.0.0.0:8080", protocol: http, allow_plaintext: true, trusted_proxies: [0.0.0.0/0]}
issuers: [{issuer: "https://login.test", audiences: [a]}]
policy: {path: policies, show_reasons: true, allow_builtins: [http.send]}
routes:
  - {name: open, hosts: ["*"], require: [], forward_token: true, upstream: {servers: ["http://10.0.0.1:80"]}}
"""


@pytest.fixture
async def lines(tmp_path):
    authority = Authority.new()
    authority.server().write(tmp_path, "gateway")
    authority.write(tmp_path)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    parts = build(parse(TEXT, tmp_path / "z.yaml"))
    yield list(summary(parts, ["0.0.0.0:8443", "0.0.0.0:8080"]))
    await parts.close()


@pytest.mark.parametrize(
    "said",
    [
        "listening on https://0.0.0.0:8443  TLS 1.3 or newer, client certificates optional, of ca.pem, no revocation",
        "listening on http://0.0.0.0:8080  plaintext",
        "issuer https://login.test  audiences a, RS256/ES256, discovery",
        "embedded, revision ",
        "route open  */ → http://10.0.0.1:80, requires nothing but the policy",
        "warning: 0.0.0.0:8080: plaintext; whoever is on the way reads tokens",
        "warning: 0.0.0.0:8080: trusted_proxies 0.0.0.0/0 lets anyone say where a request comes from",
        "warning: the policy may call http.send, which reach outside",
        "warning: policy.show_reasons",
        "warning: route open: neither certificate nor token is demanded",
        "warning: route open: no limits",
        "warning: route open: the upstream gets bearer tokens",
        "warning: route open: http://10.0.0.1:80 is reached in plaintext over the network",
    ],
)
def test_what_listens_with_which_trust_and_what_is_unsafe(lines, said):
    assert any(said in line for line in lines), "\n".join(lines)
