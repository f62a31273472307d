"""A listener whose knowledge of revoked certificates is published over HTTP, and clients that ask it.

async with Revoking(tmp_path) as world:
    url = world.publisher.publish("/ca.crl", world.root.crl(world.revoked))
    identity = await world.knowing(crl_urls=[url])
    assert await world.judge(identity, world.good) == "good"
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Self

from tests.issuer_server import World
from tests.pki import Authority, Leaf
from tests.publisher import Publisher
from ztproxy.config.settings import Settings
from ztproxy.identity import Identity, describe
from ztproxy.model import Certificate, Identified, Reason, Refusal

ADDRESS = "127.0.0.1:8443"
ROOT = Authority.new("Root")


class Revoking(World):
    """A clock that shows the real time until it is moved, an authority, one server of what is known."""

    def __init__(self, folder: Path, root: Authority = ROOT) -> None:
        super().__init__(folder)
        self.clock.wall = time.time()
        self.root = root
        self.publisher = Publisher()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.enter_async_context(self.publisher)
        return self

    def asking(self, *sections: dict[str, Any], **options: Any) -> Settings:
        """Settings with a listener that asks for certificates; `options` go into its `client_certificates`."""
        certificate, key = self.root.server().write(self.folder, "server")
        asked = {"authorities": [self.root.write(self.folder)], "mode": "optional", "revocation": sections} | options
        listener = {
            "address": ADDRESS,
            "certificates": [{"certificate": certificate, "key": key}],
            "client_certificates": asked,
        }
        return self.settings([], listeners=[listener], routes=[self.route(require=["certificate"])])

    async def knowing(self, *, started: bool = True, **section: Any) -> Identity:
        """An `Identity` that knows about the root's certificates from these sources."""
        section = {"authority": self.root.write(self.folder)} | section
        return await self.build(self.asking(section), started=started)

    async def judge(self, identity: Identity, leaf: Leaf | Certificate) -> str | Reason:
        """What becomes of a request: the certificate's standing, or the reason for refusing it."""
        outcome = await self.outcome(identity, leaf)
        if isinstance(outcome, Refusal):
            return outcome.reason
        assert isinstance(outcome, Identified)
        assert outcome.certificate is not None
        return outcome.certificate.revocation

    async def outcome(self, identity: Identity, leaf: Leaf | Certificate) -> Identified | Refusal:
        certificate = leaf if isinstance(leaf, Certificate) else self.shown(leaf)
        return await self.ask(identity, certificate=certificate, listener=ADDRESS)

    def shown(self, leaf: Leaf, *authorities: Authority) -> Certificate:
        """A client's verified chain."""
        chain = describe((leaf.der, *(one.der for one in authorities or (self.root,))))
        assert isinstance(chain, Certificate)
        return chain


async def settle(identity: Identity) -> None:
    """Until nothing is being fetched or asked any more."""
    for authority in identity.authorities:
        while running := [
            *(one._running for one in authority.published.values() if one._running is not None),
            *(authority.answers._running if authority.answers is not None else ()),
        ]:
            await asyncio.gather(*running, return_exceptions=True)


async def turn(identity: Identity) -> None:
    """What is done every now and then, and its end."""
    await settle(identity)
    for authority in identity.authorities:
        authority.look_at_files()
        for one in tuple(authority.published.values()):
            one.ask()
    await settle(identity)
