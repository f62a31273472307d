"""Claim: what llhttp reads beside HTTP, RTSP and ICE, is no response of an upstream."""

import pytest

from tests.raw_server import Scene, and_wait, exchange
from ztproxy.model import Reason


@pytest.mark.parametrize("start", [b"RTSP/1.1", b"ICE/1.1", b"\r\nHTTP/1.1", b"\nHTTP/1.1"])
async def test_another_protocols_answer_is_refused(start):
    async with Scene() as scene:
        server = await scene.start(and_wait(start + b" 200 OK\r\nContent-Length: 2\r\n\r\nok"))
        client = await exchange(scene.build(server.url))
        assert client.refusal is not None
        assert client.refusal.reason is Reason.UPSTREAM_PROTOCOL_ERROR
