"""What lies below `/.well-known/ztproxy/` is the proxy's on every listener: no upstream answers there."""

import pytest

from ztproxy.config.loading import parse
from ztproxy.model import Answered, Arrived, Connection, Reason, Refused
from ztproxy.parts import build
from ztproxy.routing.reserved import JWKS

TEXT = """\
version: 1
listeners: [{address: "127.0.0.1:0", protocol: http}]
policy: {path: policies}
routes: [{name: a, hosts: ["*"], require: [], upstream: {servers: ["http://127.0.0.1:1"]}}]
"""


@pytest.fixture
async def pipeline(tmp_path):
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "authz.rego").write_text("package ztproxy.authz\n\ndecision := true\n")
    parts = build(parse(TEXT, tmp_path / "z.yaml"))
    yield parts.pipeline(None)
    await parts.close()


def asked(path):
    return Arrived(
        request_id="1", wall=0.0, monotonic=0.0, connection=Connection("127.0.0.1:0", "http", "192.0.2.1", 1, 80),
        source="192.0.2.1", method="GET", scheme="http", host="h", port=80, authority=b"h", path=path,
        segments=tuple(path.split("/")[1:]), query="", has_query=False, fields=(), unverified_authorization=(),
        content_length=0,
    )  # fmt: skip


async def test_the_keys_are_the_proxys_answer(pipeline):
    assert isinstance(await pipeline(asked(JWKS)), Answered)


@pytest.mark.parametrize("path", ["/.well-known/ztproxy/", "/.well-known/ztproxy/other", JWKS + "/x"])
async def test_nothing_else_below_is_forwarded(pipeline, path):
    outcome = await pipeline(asked(path))
    assert isinstance(outcome, Refused)
    assert outcome.refusal.reason is Reason.ROUTE_NOT_FOUND
