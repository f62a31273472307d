"""The embedded engine: OPA in this process."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from ztproxy.model import Reason
from ztproxy.policy.batch import Batch
from ztproxy.policy.engine import Evaluation, Sight
from ztproxy.policy.library import (
    Description,
    LoadOptions,
    PolicyHandle,
    PolicyLoadError,
    Problem,
    Status,
    library,
)

__all__ = ["EmbeddedEngine", "PolicyLoadError", "Problem"]

GC_PERCENT = 800
"""Go's collector runs when the heap is five times what was live: about 18 MB more, and a tenth less time a decision."""
MEMORY_LIMIT = 96 << 20
"""Bytes; near it the collector works harder."""
GOMAXPROCS = 2
"""One for the event loop's thread, one for what runs off it."""
PARALLEL = 1
"""Slow evaluations at once: fewer than GOMAXPROCS, so that the event loop's thread never waits for one."""

_FOREVER_NS = 3600 * 10**9

_REASONS = {
    Status.UNDEFINED: Reason.POLICY_UNDEFINED,
    Status.FAILED: Reason.POLICY_ERROR,
    Status.TIMED_OUT: Reason.POLICY_TIMEOUT,
    Status.BUSY: Reason.POLICY_UNAVAILABLE,
    Status.BAD_HANDLE: Reason.POLICY_UNAVAILABLE,
    Status.BAD_INPUT: Reason.POLICY_ERROR,
    Status.CLOSED: Reason.POLICY_UNAVAILABLE,
}
_CAUSES = {
    Status.UNDEFINED: "the entrypoint is undefined for this input",
    Status.TIMED_OUT: "the evaluation did not end by its deadline",
    Status.BUSY: "too many slow evaluations are under way",
    Status.BAD_HANDLE: "the policy engine is closed",
    Status.CLOSED: "the policy engine is closed",
}


def _evaluation(status: int, text: bytes) -> Evaluation:
    if status == Status.OK:
        return Evaluation(text, None)
    known = Status(status)
    cause = _CAUSES.get(known) or text.decode("utf-8", "replace")
    return Evaluation(None, _REASONS.get(known, Reason.POLICY_ERROR), cause)


class EmbeddedEngine:
    """Evaluates inside the process.

    What takes about a millisecond is answered without suspending the caller. What takes longer goes on in the library,
    off the event loop, and one thread of ours waits for whichever such answer comes next; each comes by the deadline at
    the latest. May be used from several event loops, each in its own thread.
    """

    def __init__(self, policy: PolicyHandle, deadline: float) -> None:
        self.description: Description = policy.describe()
        self.revision = self.description.revision
        self.reads = frozenset(self.description.places)
        self.sight: Sight | None = Sight(self.reads, self.description.clock, not self.description.unrepeatable)
        self._policy = policy
        self._deadline_ns = round(deadline * 1e9)
        self._batch = Batch(policy, self._deadline_ns)
        self._waiting = _Waiting(policy)

    @classmethod
    def load(cls, directory: Path, entrypoint: str, deadline: float, allow_builtins: tuple[str, ...] = ()) -> Self:
        """Read and compile `directory`; `deadline` in seconds bounds each evaluation.

        Raises PolicyLoadError with every file, row and column, LibraryUnavailableError without the library.
        """
        options = LoadOptions(
            directory=str(directory),
            entrypoint=entrypoint,
            allow_builtins=allow_builtins,
            parallel=PARALLEL,
            gc_percent=GC_PERCENT,
            memory_limit=MEMORY_LIMIT,
            gomaxprocs=GOMAXPROCS,
        )
        return cls(library().load(options), deadline)

    async def evaluate(self, document: bytes, now_ns: int) -> Evaluation:
        """Evaluate the entrypoint over `document`, JSON; `now_ns` is what time.now_ns() says, since the epoch."""
        status, text, ticket = await self._batch.answer(document, now_ns)
        if status == Status.OK:
            return Evaluation(text, None)
        if status == Status.PENDING:
            status, text = await self._waiting.answer(ticket)
        return _evaluation(status, text)

    async def close(self) -> None:
        """Refuse everything from now on, what is pending included."""
        self._policy.release()


_Answer = tuple[int, bytes]


class _Waiting:
    """The callers of evaluations under way, by ticket, and the thread that brings them their answers."""

    def __init__(self, policy: PolicyHandle) -> None:
        self._policy = policy
        self._lock = threading.Lock()
        self._callers: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Future[_Answer]]] = {}
        self._early: dict[int, _Answer] = {}
        self._thread: threading.Thread | None = None

    async def answer(self, ticket: int) -> _Answer:
        loop = asyncio.get_running_loop()
        with self._lock:
            if ticket in self._early:
                return self._early.pop(ticket)
            future: asyncio.Future[_Answer] = loop.create_future()
            self._callers[ticket] = (loop, future)
            if self._thread is None:
                self._thread = threading.Thread(target=self._fetch, name="ztproxy-policy", daemon=True)
                self._thread.start()
        return await future

    def _fetch(self) -> None:
        while True:
            status, text, ticket = self._policy.wait_next(_FOREVER_NS)
            if status == Status.IDLE:
                continue
            if not ticket:
                self._end(status)
                return
            with self._lock:
                caller = self._callers.pop(ticket, None)
                if caller is None:
                    self._early[ticket] = (status, text)
                    continue
            _tell(*caller, (status, text))

    def _end(self, status: int) -> None:
        with self._lock:
            self._thread = None
            left, self._callers = self._callers, {}
        for caller in left.values():
            _tell(*caller, (status, b""))


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[_Answer], answer: _Answer) -> None:
    with suppress(RuntimeError):  # the caller's loop is closed: nobody waits
        loop.call_soon_threadsafe(_settle, future, answer)


def _settle(future: asyncio.Future[_Answer], answer: _Answer) -> None:
    if not future.done():  # the caller may have gone
        future.set_result(answer)
