import pytest

from ztproxy.config.loading import parse
from ztproxy.parts import StartError, build
from ztproxy.routing.reserved import JWKS

TEXT = """\
version: 1
listeners: [{address: "127.0.0.1:0", protocol: http}]
policy: {path: policies}
assertion: {key: var/assertion.key, issuer: "https://gateway.test"}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


def settings(folder, text=TEXT, rego="package ztproxy.authz\n\ndecision := true\n"):
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "authz.rego").write_text(rego)
    return parse(text, folder / "z.yaml")


async def test_everything_is_built_and_closed_without_serving(tmp_path):
    parts = build(settings(tmp_path))
    pipeline = parts.pipeline(None)
    assert b'"kty":"EC"' in (await pipeline.reserved.paths[JWKS](None)).body.replace(b" ", b"")
    assert parts.contexts == (None,)
    await parts.close()


async def test_every_problem_is_said_at_once(tmp_path):
    text = TEXT.replace('"http://127.0.0.1:1"', '"https://127.0.0.1:1"').replace(
        "]}}]", "], tls: {authorities: [broken.pem]}}}]"
    )
    (tmp_path / "broken.pem").write_text("no certificate")
    with pytest.raises(StartError) as wrong:
        build(settings(tmp_path, text, "package ztproxy.authz\n\ndecision := x\n"))
    assert len(wrong.value.problems) == 2
    assert any("broken.pem" in problem for problem in wrong.value.problems)
    assert any("authz.rego:3:13" in problem for problem in wrong.value.problems)
