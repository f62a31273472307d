import pytest

from ztproxy.config.loading import parse
from ztproxy.serve import Server
from ztproxy.workers.readiness import unready

CONFIGURATION = """\
version: 1
listeners: [{address: '127.0.0.1:0', protocol: http}]
issuers: [{issuer: 'https://localhost:1', audiences: [a], jwks_uri: 'https://localhost:1/keys'}]
policy: {path: policies}
routes:
  - {name: checked, hosts: [a], require: [], upstream: {servers: ["http://127.0.0.1:1"], health: {path: /}}}
  - {name: trusted, hosts: [b], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}
"""


@pytest.fixture
async def server(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := false\n")
    made = await Server.start(parse(CONFIGURATION, tmp_path / "z.yaml"))
    yield made
    await made.close()


async def test_nothing_is_ready_before_anything_serves():
    assert list(unready(Server())) == ["no configuration serves yet"]


async def test_what_is_missing_is_named(server):
    (keys,) = unready(server)
    assert keys.startswith("issuer https://localhost:1: no usable keys")
    (member,) = server.parts.upstreams.published["checked"].cluster.members
    member.checked(0.0, good=False)
    assert list(unready(server))[1:] == ["route checked: no server is healthy"]
