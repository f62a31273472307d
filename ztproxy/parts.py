"""Building everything that serves from the settings. Nothing here listens, connects or waits.

What cannot be built is said all at once, each with the key or file that is wrong.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import msgspec

from ztproxy.config import demonstration, secrets
from ztproxy.config.settings import Settings
from ztproxy.edge.contexts import ContextError, Contexts
from ztproxy.edge.contexts import build as build_contexts
from ztproxy.edge.load import Load
from ztproxy.edge.resident import resident_memory
from ztproxy.identity import Identity, IdentityConfigError
from ztproxy.limits import Limits
from ztproxy.model import Admitted, Answer, Authorized, Preflight, Reason, Refusal, Refused
from ztproxy.observe import DecisionLog
from ztproxy.pipeline import Pipeline, Policy
from ztproxy.policy.embedded import EmbeddedEngine, PolicyLoadError
from ztproxy.policy.engine import Engine
from ztproxy.policy.library import LibraryUnavailableError
from ztproxy.policy.server import ServerEngine
from ztproxy.policy.stage import Authorizer
from ztproxy.routing import particular
from ztproxy.routing.readable import Decide, readable
from ztproxy.upstream import UnusableFileError, Upstreams

JWKS_PATH = "/.well-known/ztproxy/jwks.json"

Part = TypeVar("Part")
_UNUSABLE = (
    ContextError,
    IdentityConfigError,
    LibraryUnavailableError,
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

    def pipeline(self, decisions: DecisionLog | None) -> Decide:
        """The stages in their order, with each decision recorded where a log is given."""
        policy = self.policy if decisions is None else _Recorded(self.policy, decisions)
        fields = ((b"content-type", b"application/jwk-set+json"), (b"cache-control", b"public, max-age=300"))
        reserved = {JWKS_PATH: Answer(200, fields, self.upstreams.jwks())}
        routes = self.settings.routes
        return readable(Pipeline(particular.build(routes), self.identity, self.limits, policy, reserved), routes)

    async def close(self) -> None:
        """Give back what was taken: connections, the policy engine, the limits' storage."""
        self.load.stop()
        await self.upstreams.close()
        await self.identity.close()
        await self.limits.close()
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


def build(settings: Settings, *, allow_demonstration: bool = False) -> Parts:
    """Everything but sockets and logs.

    Args:
        settings: a configuration that has been read and checked.
        allow_demonstration: trust the demo's authority and issuer; only the demo itself says so.

    Raises:
        StartError: with every problem found.
    """
    problems = [] if allow_demonstration else list(demonstration.traces(settings))

    def tried(make: Callable[[], Part]) -> Part | None:
        try:
            return make()
        except PolicyLoadError as wrong:
            at = f"{settings.policy.path}/"
            problems.extend(f"{at if problem.file else ''}{problem}" for problem in wrong.problems)
        except _UNUSABLE as wrong:
            problems.append(str(wrong))
        return None

    contexts = [
        tried(lambda one=listener: build_contexts(one, time.time()))  # type: ignore[misc]  # binds the loop's variable
        for listener in settings.listeners
        if listener.protocol == "https"
    ]
    identity = tried(lambda: Identity.build(settings))
    limits = tried(lambda: Limits.build(settings))
    upstreams = tried(lambda: Upstreams.build(settings))
    engine = tried(lambda: _engine(settings))
    load = tried(lambda: Load(settings.overload, resident_memory()))
    policy = tried(lambda: Authorizer.build(settings, engine)) if engine is not None else None
    if problems or not (identity and limits and upstreams and engine and policy and load):
        raise StartError(problems)
    made = iter(contexts)
    by_listener = tuple(next(made) if listener.protocol == "https" else None for listener in settings.listeners)
    return Parts(settings, by_listener, identity, limits, engine, policy, upstreams, load)


def _engine(settings: Settings) -> Engine:
    policy = settings.policy
    if policy.engine == "server":
        token = policy.server.token
        return ServerEngine.build(policy, secrets.read(token) if token is not None else None)
    if policy.path is None:
        raise ValueError("no policy: name a directory with `policy.path`, or with --policy")
    return EmbeddedEngine.load(policy.path, policy.entrypoint, policy.deadline, policy.allow_builtins)
