"""Building everything that serves from the settings. Nothing here listens, connects or waits.

What cannot be built is said all at once, each with the key or file that is wrong.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import TypeVar

import msgspec

from ztproxy.config import demonstration, secrets
from ztproxy.config.settings import Settings
from ztproxy.edge.contexts import ContextError, Contexts
from ztproxy.edge.contexts import build as build_contexts
from ztproxy.edge.load import Load
from ztproxy.edge.resident import resident_memory
from ztproxy.identity import Identity, IdentityConfigError
from ztproxy.identity.exchange.building import exchanging
from ztproxy.limits import Limits
from ztproxy.model import Admitted, Answer, Authorized, Preflight, Reason, Refusal, Refused
from ztproxy.observe import DecisionLog
from ztproxy.pipeline import Pipeline, Policy
from ztproxy.policy.embedded import EmbeddedEngine, PolicyLoadError
from ztproxy.policy.engine import Engine
from ztproxy.policy.library import LibraryUnavailableError
from ztproxy.policy.server import ServerEngine
from ztproxy.policy.stage import Authorizer
from ztproxy.routing import by_listener
from ztproxy.routing.readable import Decide, readable
from ztproxy.routing.reserved import JWKS, Reserved, always
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Workload
from ztproxy.upstream import UnusableFileError, Upstreams

Part = TypeVar("Part")
_UNUSABLE = (
    ContextError,
    IdentityConfigError,
    LibraryUnavailableError,
    SpiffeError,
    UnusableFileError,
    LookupError,
    OSError,
    ValueError,
)


class StartError(Exception):
    """What keeps the proxy from starting, each problem a line."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Parts(msgspec.Struct, frozen=True):
    """Everything that serves, ready but not serving."""

    settings: Settings
    contexts: tuple[Contexts | None, ...]
    """By listener; None for plaintext ones."""
    identity: Identity
    limits: Limits
    engine: Engine
    policy: Authorizer
    upstreams: Upstreams
    load: Load
    """What the process has taken on, and when it takes no more."""
    workload: Workload | None = None
    """Our SVID and the bundles of trust domains that all of this rests on."""

    def pipeline(self, decisions: DecisionLog | None) -> Decide:
        """The stages in their order, with each decision recorded where a log is given."""
        policy = self.policy if decisions is None else _Recorded(self.policy, decisions)
        kept = 300 if self.settings.assertion is None else int(self.settings.assertion.key_cache)
        fields = ((b"content-type", b"application/jwk-set+json"), (b"cache-control", b"public, max-age=%d" % kept))
        reserved = Reserved({JWKS: always(Answer(200, fields, self.upstreams.jwks())), **self.identity.reserved})
        routes = self.settings.routes
        pipeline = Pipeline(
            by_listener.build(routes, self.settings.listeners), self.identity, self.limits, policy, reserved
        )
        return readable(exchanging(pipeline, self.identity.exchangers), routes)

    def take_over(self, previous: "Parts") -> None:
        """Go on from what the parts that served before know: issuers' keys, buckets' levels, how servers stand."""
        self.identity.take_over(previous.identity)
        self.limits.take_over(previous.limits)
        self.upstreams.take_over(previous.upstreams)

    async def close(self, others: Collection["Parts"] = ()) -> None:
        """Give back what was taken, but for what others use too: connections, the engine, the limits' storage."""
        if not any(other.load is self.load for other in others):
            self.load.stop()
        await self.upstreams.close()
        await self.close_deciding(others)

    async def close_deciding(self, others: Collection["Parts"] = ()) -> None:
        """Give back what decides; what was authorised already may still be under way to its upstream."""
        await self.identity.close()
        await self.limits.close()
        if not any(other.engine is self.engine for other in others):
            await self.engine.close()


class _Recorded(msgspec.Struct, frozen=True):
    """The policy stage with a record of each decision, made before anything is forwarded.

    A log that is required refuses while it cannot record.
    """

    policy: Policy
    decisions: DecisionLog

    def let_through(self, preflight: Preflight) -> Authorized | Refusal:
        """No decision of the policy, so nothing to record."""
        return self.policy.let_through(preflight)

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal:
        """Ask the policy, unless its answer would be lost."""
        if not self.decisions.available():
            cause = "decisions cannot be recorded, and decisions.required is set"
            return Refusal(Reason.POLICY_UNAVAILABLE, cause=cause)
        outcome = await self.policy.authorize(admitted)
        self.decisions.record(Refused(outcome, admitted) if isinstance(outcome, Refusal) else outcome)
        return outcome


def build(settings: Settings, *, allow_demonstration: bool = False, workload: Workload | None = None) -> Parts:
    """Everything but sockets and logs.

    Args:
        settings: a configuration that has been read and checked.
        allow_demonstration: trust the demo's authority and issuer; only the demo itself says so.
        workload: our SVID and the bundles of trust domains, where the configuration has `spiffe`.

    Raises:
        StartError: with every problem found.
    """
    making = _Making(settings, workload, allow_demonstration=allow_demonstration)
    making.read()
    return making.finished()


async def build_beside(
    settings: Settings,
    serving: Parts | None,
    *,
    keep_policy: bool = False,
    allow_demonstration: bool = False,
    workload: Workload | None = None,
) -> Parts:
    """As `build`, while other parts serve: files are read and the policy is compiled off the event loop.

    Args:
        settings: as for `build`.
        serving: those other parts, if there are any.
        keep_policy: their engine decides on, if the policy's settings are the same.
        allow_demonstration: as for `build`.
        workload: as for `build`.

    Raises:
        StartError: with every problem found; nothing is left behind then.
    """
    making = _Making(settings, workload, allow_demonstration=allow_demonstration)
    kept = serving.engine if serving and keep_policy and serving.settings.policy == settings.policy else None
    making.engine = kept
    if serving is not None and serving.settings.overload == settings.overload:
        making.load = serving.load  # what the process has taken on, it has taken on by any configuration
    await asyncio.to_thread(making.read)
    try:
        return making.finished()
    except StartError:
        if making.engine is not None and kept is None:
            await making.engine.close()
        raise


class _Making:
    """Parts half made, and what was wrong with the rest."""

    def __init__(self, settings: Settings, workload: Workload | None, *, allow_demonstration: bool) -> None:
        self._settings = settings
        self._workload = workload
        self._problems = [] if allow_demonstration else list(demonstration.traces(settings))
        self._contexts: list[Contexts | None] = []
        self._identity: Identity | None = None
        self._limits: Limits | None = None
        self.engine: Engine | None = None
        self.load: Load | None = None

    def read(self) -> None:
        """What takes its time: keys, certificates, revocation lists, the policy. Needs no event loop."""
        settings, workload = self._settings, self._workload
        if settings.spiffe is not None and workload is None:
            self._problems.append("spiffe: there is neither an SVID nor a bundle yet")
        self._contexts = [
            self._tried(lambda one=listener: build_contexts(one, time.time(), workload))  # type: ignore[misc]  # the loop's own
            for listener in settings.listeners
            if listener.protocol == "https"
        ]
        self._identity = self._tried(lambda: Identity.build(settings, workload=workload))
        self._limits = self._tried(lambda: Limits.build(settings))
        if self.engine is None:
            self.engine = self._tried(lambda: _engine(settings))
        if self.load is None:
            self.load = self._tried(lambda: Load(settings.overload, resident_memory()))

    def finished(self) -> Parts:
        """The parts. Raises `StartError`."""
        settings, identity, limits, engine = self._settings, self._identity, self._limits, self.engine
        load = self.load
        upstreams = self._tried(lambda: Upstreams.build(settings, workload=self._workload))
        policy = self._tried(lambda: Authorizer.build(settings, engine)) if engine is not None else None
        if self._problems or not (identity and limits and upstreams and engine and policy and load):
            raise StartError(self._problems)
        made = iter(self._contexts)
        by_listener = tuple(next(made) if listener.protocol == "https" else None for listener in settings.listeners)
        return Parts(settings, by_listener, identity, limits, engine, policy, upstreams, load, self._workload)

    def _tried(self, make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except PolicyLoadError as wrong:
            at = f"{self._settings.policy.path}/"
            self._problems.extend(f"{at if problem.file else ''}{problem}" for problem in wrong.problems)
        except _UNUSABLE as wrong:
            self._problems.append(str(wrong))
        return None


def _engine(settings: Settings) -> Engine:
    policy = settings.policy
    if policy.engine == "server":
        token = policy.server.token
        return ServerEngine.build(policy, secrets.read(token) if token is not None else None)
    if policy.path is None:
        raise ValueError("no policy: name a directory with `policy.path`, or with --policy")
    return EmbeddedEngine.load(policy.path, policy.entrypoint, policy.deadline, policy.allow_builtins)
