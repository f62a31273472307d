"""What counting costs: a request at its end, and a snapshot of everything, in processor time.

    python bench/metrics.py

The first is paid by every request, the second by a worker's event loop whenever somebody scrapes.
"""

import time
from collections.abc import Callable
from functools import partial

from ztproxy.model import (
    Admitted,
    Arrived,
    Authorized,
    Connection,
    Decision,
    Finished,
    LimitStatus,
    Outcome,
    Reason,
    Refusal,
    Refused,
)
from ztproxy.observe.exposition import exposition
from ztproxy.observe.metrics import Metrics

TIMES = 200_000
CONNECTION = Connection("0.0.0.0:8443", "https", "192.0.2.7", 50000, 8443)
LIMIT = LimitStatus("token.subject", 100, 99, 0.01)


def _cheapest(do: Callable[[], object], times: int) -> float:
    """Seconds of processor time for one, of the best of seven rounds: the machine's other work only adds."""
    found = []
    for _ in range(7):
        began = time.process_time()
        for _ in range(times):
            do()
        found.append((time.process_time() - began) / times)
    return min(found)


def _admitted(route: str, method: str) -> Admitted:
    arrived = Arrived(
        "id", 1.0, 1.0, CONNECTION, "192.0.2.7", method, "https", "h", 443, b"h", "/", ("",), "",
        has_query=False, fields=(), unverified_authorization=(), content_length=0,
    )  # fmt: skip
    return Admitted(arrived, route, None, None, LIMIT)


def _finished(outcome: Outcome, status: int) -> Finished:
    return Finished(outcome, "id", 1.0, CONNECTION, status, 0, 800, 0.0012, "http://10.0.0.5:8080", 0.0008)


def _forwarded(route: str, method: str, status: int, *, decided: float) -> Finished:
    at = _admitted(route, method)
    decision = Decision(allow=True, duration=decided)
    return _finished(Authorized(at.arrived, route, None, None, LIMIT, decision), status)


def main() -> None:
    """Print a line for each."""
    metrics = Metrics()
    refused = _finished(Refused(Refusal(Reason.RATE_LIMITED, limit=LIMIT), _admitted("orders", "GET")), 429)
    for what, ended in (
        ("forwarded, answered by the memo", _forwarded("orders", "GET", 200, decided=0.0)),
        ("forwarded, decided by the engine", _forwarded("orders", "GET", 200, decided=0.00004)),
        ("refused", refused),
    ):
        print(f"{what:<40}{_cheapest(partial(metrics.finished, ended), TIMES) * 1e9:8.0f} ns")
    for routes in (1, 50, 500):
        metrics = Metrics()
        names = [f"route-{number}" for number in range(routes)]
        metrics.expect(names)
        for name in names:
            for method in ("GET", "POST"):
                for status in (200, 404, 500):
                    metrics.finished(_forwarded(name, method, status, decided=0.00004))
        took = _cheapest(metrics.snapshot, 5)
        snapshot = metrics.snapshot()
        page = _cheapest(partial(exposition, [snapshot, snapshot]), 1)
        print(
            f"snapshot of {routes} routes: {took * 1e3:.1f} ms in a worker; page of two: {page * 1e3:.0f} ms elsewhere"
        )


if __name__ == "__main__":
    main()
