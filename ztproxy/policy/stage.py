"""The stage `policy`: Admitted → Authorized, or a refusal. Nothing else in the program makes an `Authorized`."""

import time
from collections.abc import Callable, Mapping
from typing import Self

import msgspec

from ztproxy.config.settings import Settings
from ztproxy.model import Admitted, Authorized, Decision, Preflight, Reason, Refusal, StepUp
from ztproxy.policy.decision import MAXIMUM_RESULT, Malformed, Readings, Verdict, may_be_set
from ztproxy.policy.document import Documents
from ztproxy.policy.engine import Engine
from ztproxy.policy.key import Key, KeyOf, key_of
from ztproxy.policy.memo import Memo
from ztproxy.policy.preflight import LET_THROUGH, objection
from ztproxy.policy.shared import Shared

_DENIED = Verdict(allow=False)


class Authorizer:
    """Asks the policy about each request, or remembers what it said, and believes nothing but a decision.

    Args:
        engine: evaluates the policy.
        headers: by route, the names in lower case that its decisions may set.
        clock: seconds, monotonic; measures how long the engine took and decides nothing.
        memo: keeps decisions, of an engine that is known to repeat them; None: nothing is remembered.
        clock_step: seconds; what the policy gets to see of the clock moves in steps of this.
        recorded: each decision is kept with its request's whole document.
    """

    def __init__(
        self,
        engine: Engine,
        headers: Mapping[str, frozenset[str]],
        clock: Callable[[], float] = time.perf_counter,
        *,
        memo: Memo | None = None,
        clock_step: float = 1.0,
        recorded: bool = True,
    ) -> None:
        self.memo: Memo | None = None
        self._engine = engine
        self._headers = headers
        self._clock = clock
        self._step_ns = max(1, round(clock_step * 1e9))
        self._recorded = recorded
        self._documents = Documents()
        self._readings = Readings()
        self._key: KeyOf = _no_key
        sight = engine.sight
        if sight is None:
            return
        shared = Shared(sight.places)
        if not recorded:
            self._documents = Documents(sight.places, shared)
        if memo is not None and sight.repeatable:
            self.memo = memo
            self._key = key_of(sight.places, engine.revision, shared, self._now_ns if sight.clock else None)

    @classmethod
    def build(cls, settings: Settings, engine: Engine) -> Self:
        """The stage as configured; raises ValueError where a route declares a header that no policy may set."""
        headers: dict[str, frozenset[str]] = {}
        for route in settings.routes:
            names = frozenset(name.lower() for name in route.policy_headers)
            if wrong := sorted(name for name in names if not may_be_set(name)):
                raise ValueError(
                    f"route {route.name}: `policy_headers` names {', '.join(wrong)}, which frames the message, is "
                    "passed from hop to hop or is the proxy's own to set"
                )
            headers[route.name] = names
        memo = settings.policy.memo
        return cls(
            engine,
            headers,
            memo=None if isinstance(memo, str) else Memo(memo.entries, memo.maximum_age),
            clock_step=settings.policy.clock_step,
            recorded=settings.logs.decisions is not None,
        )

    def let_through(self, preflight: Preflight) -> Authorized | Refusal:
        """A browser's bare question passes unasked, where the route lets its upstream answer; nothing else does."""
        refusal = objection(preflight)
        if refusal is not None:
            return refusal
        return _judged(Admitted(preflight.arrived, preflight.route, None, None, None), LET_THROUGH)

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal:
        """What the policy allows passes; everything else is refused, with the decision for the log."""
        memo = self.memo
        key = self._key(admitted)
        if memo is None or key is None:
            return await self._ask(admitted, None, None)
        decision = memo.recall(key, admitted.arrived.monotonic)
        if decision is None:
            return await self._ask(admitted, memo, key)
        if self._recorded:
            document = self._documents.write(admitted)
            if isinstance(document, Refusal):
                return msgspec.structs.replace(document, limit=admitted.limit)
            decision = msgspec.structs.replace(decision, document=document)
        return _judged(admitted, decision)

    async def _ask(self, admitted: Admitted, memo: Memo | None, key: Key | None) -> Authorized | Refusal:
        document = self._documents.write(admitted)
        if isinstance(document, Refusal):
            return msgspec.structs.replace(document, limit=admitted.limit)
        started = self._clock()
        evaluation = await self._engine.evaluate(document, self._now_ns(admitted.arrived.wall))
        duration = self._clock() - started
        word = "off" if self.memo is None else "miss"
        asked = _Asked(admitted, document if self._recorded else b"", self._engine.revision, duration, word)
        result = evaluation.value
        if evaluation.problem is not None or result is None:
            return asked.refused(evaluation.problem or Reason.POLICY_UNDEFINED, evaluation.cause)
        reading = self._readings.read(result, self._headers[admitted.route])
        if isinstance(reading, Malformed):
            return asked.refused(Reason.POLICY_MALFORMED, reading.cause, result)
        decision = asked.decision(result, reading)
        if memo is not None:
            again = asked.again(result, reading)
            size = len(document) + len(result)
            memo.remember(key, again, admitted.arrived.monotonic, _remaining(admitted), size)
        return _judged(admitted, decision)

    def _now_ns(self, wall: float) -> int:
        """What the policy's clock says: nanoseconds since 1970, in steps."""
        now = int(wall * 1e9)
        return now - now % self._step_ns


def _no_key(_: Admitted) -> None:
    """Nothing is remembered."""


def _judged(admitted: Admitted, decision: Decision) -> Authorized | Refusal:
    """A decision that was read, made into what becomes of the request.

    A refusal's `detail` stays empty: the client learns the reason's own words, and the policy's where the edge may
    show them.
    """
    if decision.step_up is not None and not _is_met(decision.step_up, admitted):
        return Refusal(
            Reason.STEP_UP_REQUIRED,
            cause="; ".join(decision.reasons),
            reasons=decision.reasons,
            decision=decision,
            limit=admitted.limit,
            step_up=decision.step_up,
        )
    if decision.allow is not True:
        return Refusal(
            Reason.POLICY_DENIED,
            cause="; ".join(decision.reasons),
            reasons=decision.reasons,
            decision=decision,
            limit=admitted.limit,
        )
    return Authorized(
        admitted.arrived,
        admitted.route,
        admitted.certificate,
        admitted.token,
        admitted.limit,
        decision,
        admitted.response_fields,
    )


def _is_met(step_up: StepUp, admitted: Admitted) -> bool:
    """Whether the login is as the decision wants it; judged on each request, for it grows old meanwhile."""
    token = admitted.token
    return token is not None and step_up.met(token.claims, admitted.arrived.wall)


def _remaining(admitted: Admitted) -> float:
    """Seconds until the token or the certificate ends, whichever is first."""
    token, certificate = admitted.token, admitted.certificate
    ends_at = float("inf") if token is None else token.expires_at
    if certificate is not None and certificate.not_after < ends_at:
        ends_at = certificate.not_after
    return ends_at - admitted.arrived.wall


class _Asked:
    """A question that the engine was asked; makes the record of how it ended."""

    __slots__ = ("admitted", "document", "duration", "memo", "revision")

    def __init__(self, admitted: Admitted, document: bytes, revision: str, duration: float, memo: str) -> None:
        self.admitted = admitted
        self.document = document
        self.revision = revision
        self.duration = duration
        self.memo = memo

    def decision(self, result: bytes, reading: Verdict) -> Decision:
        return Decision(
            reading.allow,
            reading.reasons,
            reading.headers,
            reading.max_age,
            self.revision,
            self.document,
            result,
            self.duration,
            self.memo,
            reading.step_up,
        )

    def again(self, result: bytes, reading: Verdict) -> Decision:
        """The same as whoever asks again is told it."""
        return Decision(
            reading.allow,
            reading.reasons,
            reading.headers,
            reading.max_age,
            self.revision,
            b"",
            result,
            0.0,
            "hit",
            reading.step_up,
        )

    def refused(self, reason: Reason, cause: str, result: bytes = b"null") -> Refusal:
        decision = self.decision(result if len(result) <= MAXIMUM_RESULT else b"null", _DENIED)
        return Refusal(reason, cause=cause, decision=decision, limit=self.admitted.limit)
