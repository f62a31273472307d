"""The stage `policy`: Admitted → Authorized, or a refusal. Nothing else in the program makes an `Authorized`."""

import time
from collections.abc import Callable, Mapping
from typing import Self

import msgspec

from ztproxy.config.settings import Settings
from ztproxy.model import Admitted, Authorized, Decision, Reason, Refusal
from ztproxy.policy.decision import MAXIMUM_RESULT, Malformed, Readings, Verdict, may_be_set
from ztproxy.policy.document import Documents
from ztproxy.policy.engine import Engine

_DENIED = Verdict(allow=False)


class Authorizer:
    """Asks the policy about each request and believes nothing but a decision.

    Args:
        engine: evaluates the policy.
        headers: by route, the names in lower case that its decisions may set.
        clock: seconds, monotonic; measures how long the engine took and decides nothing.
        recorded: the document is kept with the decision even where the policy reads none of it.
    """

    def __init__(
        self,
        engine: Engine,
        headers: Mapping[str, frozenset[str]],
        clock: Callable[[], float] = time.perf_counter,
        *,
        recorded: bool = True,
    ) -> None:
        self._engine = engine
        self._headers = headers
        self._clock = clock
        self._recorded = recorded
        self._settled: dict[str, Decision] = {}
        """By route: what a policy that reads nothing has allowed once, and so always."""
        self._documents = Documents()
        self._readings = Readings()

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
        return cls(engine, headers, recorded=settings.logs.decisions is not None)

    async def authorize(self, admitted: Admitted) -> Authorized | Refusal:
        """What the policy allows passes; everything else is refused, with the decision for the log."""
        settled = self._settled.get(admitted.route)
        if settled is not None:
            return _authorized(admitted, settled)
        unread = self._engine.constant is not None and not self._recorded
        document: bytes | Refusal = b"" if unread else self._documents.write(admitted)
        if isinstance(document, Refusal):
            return msgspec.structs.replace(document, limit=admitted.limit)
        started = self._clock()
        evaluation = await self._engine.evaluate(document, int(admitted.arrived.wall * 1e9))
        asked = _Asked(admitted, document, self._engine.revision, self._clock() - started)
        result = evaluation.value
        if evaluation.problem is not None or result is None:
            return asked.refused(evaluation.problem or Reason.POLICY_UNDEFINED, evaluation.cause)
        reading = self._readings.read(result, self._headers[admitted.route])
        if isinstance(reading, Malformed):
            return asked.refused(Reason.POLICY_MALFORMED, reading.cause, result)
        if reading.allow is not True:
            return asked.refused(Reason.POLICY_DENIED, "; ".join(reading.reasons), result, reading)
        decision = asked.decision(result, reading)
        if unread:
            self._settled[admitted.route] = decision
        return _authorized(admitted, decision)


def _authorized(admitted: Admitted, decision: Decision) -> Authorized:
    return Authorized(admitted.arrived, admitted.route, admitted.certificate, admitted.token, admitted.limit, decision)


class _Asked(msgspec.Struct, frozen=True, gc=False):
    """A question that the engine was asked; makes the record of how it ended."""

    admitted: Admitted
    document: bytes
    revision: str
    duration: float

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
        )

    def refused(self, reason: Reason, cause: str, result: bytes = b"null", reading: Verdict = _DENIED) -> Refusal:
        """`detail` stays empty: the client learns the reason's own words, and the policy's where the edge may show."""
        decision = self.decision(result if len(result) <= MAXIMUM_RESULT else b"null", reading)
        return Refusal(reason, cause=cause, reasons=reading.reasons, decision=decision, limit=self.admitted.limit)
