"""Statuses to join and judge, and a fleet of workers that is only told of."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from ztproxy.observe.fleet import Reloads, WorkerLine
from ztproxy.observe.metrics import Metrics
from ztproxy.observe.status import (
    Basis,
    CertificateStatus,
    IssuerStatus,
    Judging,
    LimitsStatus,
    ListenerStatus,
    LoadStatus,
    LogsStatus,
    MemoStatus,
    PolicyStatus,
    QueueStatus,
    RevocationStatus,
    ServerStatus,
    StreamsStatus,
    WorkerStatus,
    encode,
)

NOW = 1_800_000_000.0
DAY = 86400.0
POLICY = PolicyStatus("embedded", "/etc/ztproxy/policies", "ztproxy/authz/decision", "a" * 64, NOW - 3600)
ISSUER = IssuerStatus("https://login.test", 2, NOW - 60, NOW + DAY, 0, "")
CERTIFICATE = CertificateStatus("listener", "0.0.0.0:8443", "gateway.pem", NOW + 90 * DAY)
REVOCATION = RevocationStatus("0.0.0.0:8443", "CN=Clients", 3, NOW - DAY, NOW + DAY, "ca.crl")
SERVER = ServerStatus("orders", "http://10.0.0.5:8080", True, False, 1, 4, 3, 100, 2, 1, 50)
QUEUE = QueueStatus("orders", 2, 3, 4)
LIMITS = LimitsStatus("redis", True, 5, {"token.subject": 90}, {"route": 4})
LISTENER = ListenerStatus("0.0.0.0:8443", "0.0.0.0:8443", "https", 12, 40, 39, 1, {"connections.maximum": 5})
LOAD = LoadStatus(3, False, {"overload.requests": 1})
STREAMS = StreamsStatus({"websocket": 2}, {"websocket": 9}, {"token-expired": 1}, 3)
LOGS = LogsStatus(0, 0, True)


def worker(pid: int = 10, **changed: Any) -> WorkerStatus:
    """A worker that is well; `policy`, `issuer`, … replace what it says of them."""
    given = {
        "policy": POLICY, "issuer": ISSUER, "certificate": CERTIFICATE, "revocation": REVOCATION, "server": SERVER,
        "limits": LIMITS, "listener": LISTENER, "load": LOAD, "logs": LOGS, **changed,
    }  # fmt: skip
    basis = Basis(given["policy"], (given["issuer"],), (given["certificate"],), (given["revocation"],))
    judging = Judging(given["limits"], {"0.0.0.0:8443": 7}, MemoStatus(30, 10, 8))
    return WorkerStatus(
        "0", pid, NOW - 100, False, basis, judging, (given["server"],), (QUEUE,), (given["listener"],),
        given["logs"], given["load"], STREAMS,
    )  # fmt: skip


class ToldFleet:
    """A `ztproxy.admin.pages.Fleet` that says what it is given."""

    def __init__(self, *workers: WorkerStatus, lines: Sequence[WorkerLine] | None = None) -> None:
        self.metrics = Metrics()
        self._told = [encode(one) for one in workers]
        self._lines = [WorkerLine(one.pid, "ready", NOW - 100) for one in workers] if lines is None else lines
        self._reloads = Reloads(2, 0, NOW - 50)

    async def snapshots(self) -> list[bytes]:
        return [self.metrics.snapshot()]

    async def statuses(self) -> list[bytes]:
        return self._told

    def workers(self) -> Sequence[WorkerLine]:
        return self._lines

    @property
    def reloads(self) -> Reloads:
        return self._reloads

    def reload_failed(self, *problems: str) -> None:
        self._reloads = replace(self._reloads, failed=1, last_failure=NOW, problems=problems)
