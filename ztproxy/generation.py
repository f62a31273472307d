"""One configuration made ready to serve, beside the one that serves: what a reload prepares and then commits.

It listens to nothing. Its sites take over the open connections of the generation before it when it is committed.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Self

from ztproxy.config.settings import Settings
from ztproxy.edge.cleaning import Cleaning
from ztproxy.edge.contexts import Contexts
from ztproxy.edge.site import Site, UnderWay
from ztproxy.edge.streams import Streams
from ztproxy.model import Finished, HandshakeFailed
from ztproxy.observe import AccessLog, Causes, DecisionLog, Metrics
from ztproxy.observe.telling import telling, telling_of_handshakes
from ztproxy.parts import Parts, StartError, build_beside
from ztproxy.spiffe.workload import Workload

STREAMS = ("stdout", "stderr", "off")
"""Values of `logs.access` that are no file."""


class Generation:
    """Everything that serves by one configuration. Make one with `prepare`."""

    def __init__(
        self,
        parts: Parts,
        access: AccessLog,
        decisions: DecisionLog | None,
        sites: Mapping[str, Site],
        handshake_failed: Callable[[HandshakeFailed], None],
    ) -> None:
        self.parts = parts
        self.access = access
        self.decisions = decisions
        self.sites = sites
        """By the address of their listener, as configured."""
        self.handshake_failed = handshake_failed
        """To be told of handshakes that did not come about."""
        self.left: Callable[[], None] = lambda: None
        """To be called when it is closed: what counts its servers lets go of them."""
        self.decides = True
        self.under_way: list[UnderWay] = []
        """Once it is retired: what still ends by it."""

    @classmethod
    async def prepare(
        cls,
        settings: Settings,
        previous: Self | None = None,
        *,
        keep_policy: bool = False,
        demonstration: bool = False,
        metrics: Metrics | None = None,
        streams: Streams | None = None,
        workload: Workload | None = None,
    ) -> Self:
        """Build all of it, and begin to fetch what issuers publish; nothing that serves is changed.

        Args:
            settings: a configuration that has been read and checked.
            previous: what serves, if anything does.
            keep_policy: decide by the policy of `previous`, whatever its directory has come to hold.
            demonstration: trust the demo's authority and issuer.
            metrics: where requests and handshakes are counted.
            streams: all that are open in the process, by whatever configuration they began.
            workload: our SVID and the bundles of trust domains, where the configuration has `spiffe`.

        Raises:
            StartError: with every problem found; nothing is left behind then.
        """
        serving = None if previous is None else previous.parts
        parts = await build_beside(
            settings, serving, keep_policy=keep_policy, allow_demonstration=demonstration, workload=workload
        )
        async with contextlib.AsyncExitStack() as undo:
            undo.push_async_callback(parts.close, [] if serving is None else [serving])
            shared = (
                previous.access if previous and serving and serving.settings.logs.access == _target(parts) else None
            )
            access = shared or _access_log(settings)
            if shared is None:
                undo.callback(access.close)
            decisions = await asyncio.to_thread(_decision_log, parts)
            if decisions is not None:
                undo.callback(decisions.close)
            sites = _sites(parts, decisions, telling(access, Causes(time.monotonic), metrics), streams)
            if serving is not None:
                parts.identity.take_over(serving.identity)
            await parts.identity.start()
            undo.pop_all()
        return cls(parts, access, decisions, sites, telling_of_handshakes(access, metrics))

    @property
    def settings(self) -> Settings:
        """The configuration."""
        return self.parts.settings

    @property
    def contexts(self) -> Mapping[str, Contexts | None]:
        """By the address of their listener; None for plaintext ones."""
        addresses = (str(listener.address) for listener in self.settings.listeners)
        return dict(zip(addresses, self.parts.contexts, strict=True))

    @property
    def deciding(self) -> bool:
        """Whether anything that is under way still waits for its decision."""
        return any(one.deciding for one in self.under_way)

    @property
    def over(self) -> bool:
        """Whether everything that was under way has ended."""
        self.under_way = [one for one in self.under_way if not one.over]
        return not self.under_way

    async def close_deciding(self, others: Collection["Generation"] = ()) -> None:
        """Close what decides, and what records decisions, but for an engine that others decide by too."""
        if self.decides:
            self.decides = False
            await self.parts.close_deciding([other.parts for other in others if other.decides])
            if self.decisions is not None:
                await asyncio.to_thread(self.decisions.close)  # it writes what waits

    async def close(self, others: Collection["Generation"] = ()) -> None:
        """Close everything that no other generation uses too."""
        await self.close_deciding(others)
        if not any(other.parts.load is self.parts.load for other in others):
            self.parts.load.stop()
        await self.parts.upstreams.close()
        self.left()
        if not any(other.access is self.access for other in others):
            await asyncio.to_thread(self.access.close)  # likewise


def _target(parts: Parts) -> str:
    return parts.settings.logs.access


def _sites(
    parts: Parts, decisions: DecisionLog | None, finished: Callable[[Finished], None], streams: Streams | None
) -> dict[str, Site]:
    settings = parts.settings
    cleaning = Cleaning.build(settings)
    pipeline = parts.pipeline(decisions)
    return {
        str(listener.address): Site.build(
            listener,
            settings,
            cleaning,
            pipeline=pipeline,
            forward=parts.upstreams.forward,
            finished=finished,
            charge=parts.limits.charge_source,
            load=parts.load,
            streams=streams,
        )
        for listener in settings.listeners
    }


def _access_log(settings: Settings) -> AccessLog:
    target = settings.logs.access
    try:
        if target not in STREAMS:
            Path(target).parent.mkdir(parents=True, exist_ok=True)
        return AccessLog.open(target)
    except OSError as wrong:
        raise StartError([f"logs.access: {target}: {wrong.strerror or wrong}"]) from None


def _decision_log(parts: Parts) -> DecisionLog | None:
    settings = parts.settings
    path = settings.logs.decisions
    if path is None:
        return None
    try:
        return DecisionLog.open(
            path,
            required=settings.decisions.required,
            entrypoint=settings.policy.entrypoint,
            reads=lambda: parts.engine.reads,
        )
    except OSError as wrong:
        raise StartError([f"logs.decisions: {wrong}"]) from None
