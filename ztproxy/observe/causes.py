"""The program's own log: why a request failed that the operator, not the client, has to do something about.

The access log says that it failed and with which reason; what a server, an issuer or the policy engine did wrong stands
here, under the request's id. One line a second for each reason, with a count of those left out.
"""

import logging
from collections.abc import Callable

from ztproxy.model import Finished, Reason, Refused
from ztproxy.observe.plain import short

OPERATIONAL = frozenset(
    {
        Reason.REVOCATION_UNKNOWN,
        Reason.ISSUER_KEYS_UNAVAILABLE,
        Reason.ISSUER_UNAVAILABLE,
        Reason.INTROSPECTION_UNAVAILABLE,
        Reason.POLICY_UNDEFINED,
        Reason.POLICY_MALFORMED,
        Reason.POLICY_ERROR,
        Reason.POLICY_TIMEOUT,
        Reason.POLICY_UNAVAILABLE,
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_PROTOCOL_ERROR,
        Reason.UPSTREAM_TLS_FAILED,
        Reason.UPSTREAM_TIMEOUT,
        Reason.OVERLOADED,
        Reason.INTERNAL_ERROR,
    }
)
"""What the operator, not the client, has to do something about."""
INTERVAL = 1.0
"""Seconds between two lines of one reason."""


class Causes:
    """Tells the operator's causes of refusals.

    Args:
        clock: monotonic, seconds.
        logger: where they go.
    """

    def __init__(self, clock: Callable[[], float], logger: logging.Logger | None = None) -> None:
        self._clock = clock
        self._logger = logger or logging.getLogger("ztproxy.requests")
        self._next: dict[Reason | None, float] = {}
        self._left_out: dict[Reason | None, int] = {}

    def finished(self, finished: Finished) -> None:
        """A request ended; said only when it failed on our side."""
        outcome = finished.outcome
        if isinstance(outcome, Refused):
            refusal = outcome.refusal
            if refusal.reason in OPERATIONAL:
                self._tell(refusal.reason, refusal.reason.word, finished, refusal.cause or refusal.detail)
        elif finished.cut:
            self._tell(None, "answer broke off", finished, finished.cut)

    def _tell(self, key: Reason | None, word: str, finished: Finished, cause: str) -> None:
        now = self._clock()
        if now < self._next.get(key, 0.0):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._next[key] = now + INTERVAL
        left_out = self._left_out.pop(key, 0)
        more = f" ({left_out} more left out)" if left_out else ""
        where = f" [{finished.upstream}]" if finished.upstream else ""
        text = ascii(short(cause))[1:-1]
        self._logger.warning("%s %s%s: %s%s", finished.request_id, word, where, text, more)
