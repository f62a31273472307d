"""Who is told what has ended: the access log, the counts, and the operator where something went wrong."""

from collections.abc import Callable

from ztproxy.model import Authorized, Finished, HandshakeFailed
from ztproxy.observe.access import AccessLog
from ztproxy.observe.causes import Causes
from ztproxy.observe.metrics import Metrics


def telling(access: AccessLog, causes: Causes, metrics: Metrics | None) -> Callable[[Finished], None]:
    """Tells of a request at its end."""

    def finished(ended: Finished) -> None:
        access.finished(ended)
        if ended.cut is not None or not isinstance(ended.outcome, Authorized):
            causes.finished(ended)

    if metrics is None:
        return finished
    count = metrics.finished

    def counted(ended: Finished) -> None:
        count(ended)
        finished(ended)

    return counted


def telling_of_handshakes(access: AccessLog, metrics: Metrics | None) -> Callable[[HandshakeFailed], None]:
    """Tells of a handshake that did not come about."""
    if metrics is None:
        return access.handshake_failed
    count = metrics.handshake_failed

    def failed(told: HandshakeFailed) -> None:
        count(told)
        access.handshake_failed(told)

    return failed
