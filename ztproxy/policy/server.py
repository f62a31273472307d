"""`engine: server`: a real OPA that runs already, asked over HTTP.

The server has policies and data of its own; nothing is uploaded. Its clock is its own too. What it says is read as
strictly as what the embedded engine says, and while it is away requests are refused at once: one of them at a time, and
only every so often, is let through to see whether it is back.
"""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import aiohttp
import msgspec

from ztproxy.config.policies import PolicySettings
from ztproxy.model import Reason
from ztproxy.policy.client import AnswerTooLargeError, Client, Place, RefusedError, parse_place, trust
from ztproxy.policy.engine import Evaluation, Sight
from ztproxy.policy.places import Places

MAXIMUM_ASKED = 512
"""Questions under way; more are refused."""
PROBE_INTERVAL = 0.1
"""Seconds between two attempts to reach a server that is away."""
_PARAMETERS = {"strict-builtin-errors": "true", "provenance": "true"}


class _Bundle(msgspec.Struct):
    revision: str = ""


class _Provenance(msgspec.Struct):
    revision: str = ""
    bundles: dict[str, _Bundle] = {}


class _Answer(msgspec.Struct):
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    provenance: _Provenance = msgspec.field(default_factory=_Provenance)


class _Error(msgspec.Struct):
    message: str = ""
    code: str = ""


class _Failure(msgspec.Struct):
    message: str = ""
    code: str = ""
    errors: list[_Error] = []


_decode = msgspec.json.Decoder(_Answer).decode
_decode_failure = msgspec.json.Decoder(_Failure).decode


class ServerEngine:
    """Asks an OPA server; every answer comes by the deadline, whatever the client library or the server do.

    Args:
        client: opa-python-client on our connections.
        entrypoint: path of the decision, `ztproxy/authz/decision`.
        deadline: seconds that a decision may take.
        clock: seconds, monotonic.
    """

    def __init__(
        self, client: Client, entrypoint: str, deadline: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.revision = "server"
        self.reads: Places = frozenset()
        self.sight: Sight | None = None
        self._client = client
        self._entrypoint = entrypoint
        self._deadline = deadline
        self._clock = clock
        self._asked: set[asyncio.Task[tuple[Evaluation, str]]] = set()
        self._away = ""
        self._probe: asyncio.Task[tuple[Evaluation, str]] | None = None
        self._probed_at = 0.0
        self._closed = False

    @classmethod
    def build(cls, settings: PolicySettings, token: str | None) -> Self:
        """The engine as configured; `token` is what `policy.server.token` holds.

        Raises ValueError for an address that cannot be trusted, OSError for authorities that cannot be read.
        """
        place: Place = parse_place(settings.server.url)
        authorities: tuple[Path, ...] = settings.server.authorities
        if authorities and not place.tls:
            raise ValueError("policy.server.authorities has no effect without https")
        context = trust(authorities) if place.tls else None
        return cls(Client(place, context, token, 0.8 * settings.deadline), settings.entrypoint, settings.deadline)

    async def evaluate(self, document: bytes, now_ns: int) -> Evaluation:  # noqa: ARG002 - the server has its clock
        """Ask, in a task of its own: the caller may have none."""
        if refused := self._refused():
            return refused
        task = asyncio.get_running_loop().create_task(self._ask(document))
        self._asked.add(task)
        task.add_done_callback(self._forget)
        if self._away:
            self._probe, self._probed_at = task, self._clock()
        try:
            await asyncio.wait((task,), timeout=self._deadline)
        finally:
            task.cancel()  # without effect once it is done; when it was not, nobody waits for it any more
        if not task.done() or task.cancelled():
            return Evaluation(None, Reason.POLICY_TIMEOUT, f"OPA gave no answer within {self._deadline * 1000:g} ms")
        evaluation, self.revision = task.result()
        return evaluation

    async def reachable(self) -> bool:
        """Whether the server says that it is well; for the summary at start."""
        task = asyncio.get_running_loop().create_task(self._client.check_health())
        await asyncio.wait((task,), timeout=max(self._deadline, 1.0))
        task.cancel()
        return task.done() and not task.cancelled() and task.exception() is None and task.result() is True

    async def close(self) -> None:
        """Give up what is under way, and the connections."""
        self._closed = True
        for task in list(self._asked):
            task.cancel()
        await self._client.close_connection()

    def _refused(self) -> Evaluation | None:
        if self._closed:
            return _unavailable("the engine is closed")
        if len(self._asked) >= MAXIMUM_ASKED:
            return _unavailable(f"{MAXIMUM_ASKED} questions to OPA are under way")
        if not self._away:
            return None
        probing = self._probe is not None and not self._probe.done()
        if probing or self._clock() - self._probed_at < PROBE_INTERVAL:
            return _unavailable(self._away)
        return None

    def _forget(self, task: "asyncio.Task[tuple[Evaluation, str]]") -> None:
        self._asked.discard(task)
        if not task.cancelled():
            task.exception()  # seen by whoever waits; after the deadline nobody does

    async def _ask(self, document: bytes) -> tuple[Evaluation, str]:
        try:
            body = await self._client.query_rule(
                msgspec.Raw(document), self._entrypoint, query_params=dict(_PARAMETERS)
            )
        except RefusedError as refused:
            self._away = ""
            return _failed(refused), self.revision
        except AnswerTooLargeError:
            self._away = ""
            return Evaluation(None, Reason.POLICY_MALFORMED, "OPA's answer is too large"), self.revision
        except aiohttp.ClientConnectorError as gone:  # no connection came about: it is away
            self._away = f"OPA cannot be reached: {gone}"
            return _unavailable(self._away), self.revision
        except aiohttp.ClientResponseError as nonsense:
            return Evaluation(None, Reason.POLICY_MALFORMED, f"OPA speaks no HTTP: {nonsense}"), self.revision
        except (aiohttp.ConnectionTimeoutError, aiohttp.ServerTimeoutError) as slow:
            self._away = f"OPA cannot be reached in time: {slow}"
            return _unavailable(self._away), self.revision
        except (aiohttp.ClientError, OSError) as broken:  # one connection broke; the next may well stand
            return _unavailable(f"the connection to OPA broke: {broken}"), self.revision
        self._away = ""
        return self._read(body)

    def _read(self, body: bytes) -> tuple[Evaluation, str]:
        try:
            answer = _decode(body)
        except (ValueError, RecursionError) as wrong:
            return Evaluation(None, Reason.POLICY_MALFORMED, f"OPA's answer cannot be read: {wrong}"), self.revision
        revision = _revision(answer.provenance)
        if answer.result is msgspec.UNSET:
            return Evaluation(None, Reason.POLICY_UNDEFINED, "the entrypoint is undefined for this input"), revision
        return Evaluation(bytes(answer.result), None), revision


def _unavailable(cause: str) -> Evaluation:
    return Evaluation(None, Reason.POLICY_UNAVAILABLE, cause)


def _failed(refused: RefusedError) -> Evaluation:
    """A status that is not 200: an evaluation that failed, a server that will not, or none of OPA's."""
    try:
        failure = _decode_failure(refused.body)
    except (ValueError, RecursionError):
        failure = _Failure()
    said = "; ".join(filter(None, (failure.message, *(error.message for error in failure.errors))))[:1024]
    cause = f"OPA answered {refused.status}: {said}" if said else f"OPA answered {refused.status}"
    match refused.status:
        case 500 | 400 if failure.code:
            return Evaluation(None, Reason.POLICY_ERROR, cause)
        case 401 | 403 | 429 | 500 | 502 | 503 | 504:
            return _unavailable(cause)
        case _:
            return Evaluation(None, Reason.POLICY_MALFORMED, cause)


def _revision(provenance: _Provenance) -> str:
    """The revisions of the bundles that decided; `server` when it has none."""
    bundles = ",".join(f"{name}={bundle.revision}" for name, bundle in sorted(provenance.bundles.items()))
    return re.sub("[^!-~]", "?", bundles or provenance.revision)[:256] or "server"
