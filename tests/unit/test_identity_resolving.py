import asyncio
import socket
import threading

import pytest

from ztproxy.identity.issuers.resolving import OwnThreads


async def test_a_name_is_resolved():
    resolver = OwnThreads()
    found = await resolver.resolve("localhost", 443, socket.AF_INET)
    assert (found[0]["host"], found[0]["port"], found[0]["hostname"]) == ("127.0.0.1", 443, "localhost")
    await resolver.close()


async def test_a_name_that_hangs_holds_up_nobody_else(monkeypatch):
    released = threading.Event()
    resolve = socket.getaddrinfo

    def getaddrinfo(host, *rest):
        if host == "hangs.test":
            released.wait(20)
        return resolve("127.0.0.1", *rest)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    hanging, well = OwnThreads(), OwnThreads()
    waiting = [asyncio.ensure_future(hanging.resolve("hangs.test", 443)) for _ in range(64)]
    try:
        async with asyncio.timeout(10):
            assert await well.resolve("well.test", 443)
            await asyncio.to_thread(int)
    finally:
        released.set()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await hanging.close()
        await well.close()
    with pytest.raises(RuntimeError):
        await well.resolve("well.test", 443)
