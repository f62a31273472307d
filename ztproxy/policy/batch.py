"""The questions of one turn of the event loop, put to the library together.

What all requests of a turn ask for is evaluated one after another, without the rest of the proxy in between: the
library's code and data stay in the processor's caches, and the way there and back is taken once.
"""

import asyncio

from ztproxy.policy.library import MANY, PolicyHandle, Status
from ztproxy.turn import Later, may_wait, turn_of

Answered = tuple[int, bytes, int]
"""A status, JSON or a message, and the ticket of what is pending."""


class Batch:
    """Gathers questions until the end of the turn, of those who can wait for it; others are answered at once.

    Args:
        policy: answers.
        deadline_ns: by when each answer has to be there, in nanoseconds from when it is put to the library.
    """

    def __init__(self, policy: PolicyHandle, deadline_ns: int) -> None:
        self._policy = policy
        self._deadline_ns = deadline_ns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gathered: list[tuple[bytes, int]] = []
        self._waiting: list[Later[Answered]] = []

    async def answer(self, document: bytes, now_ns: int) -> Answered:
        """The library's answer to one question."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._policy.evaluate(document, now_ns, self._deadline_ns)
        if self._loop is None:
            self._loop = loop
        if loop is not self._loop or not may_wait(loop):  # another thread's, or a task
            return self._policy.evaluate(document, now_ns, self._deadline_ns)
        later: Later[Answered] = Later()
        if not self._waiting:
            turn_of(loop).at_end(self._answer)
        self._gathered.append((document, now_ns))
        self._waiting.append(later)
        return await later

    def _answer(self) -> None:
        gathered, self._gathered = self._gathered, []
        waiting, self._waiting = self._waiting, []
        try:
            answers = self._ask(gathered)
        except Exception as bug:  # noqa: BLE001 - whoever waits must be answered
            self._report(bug)
            answers = [(int(Status.FAILED), b"the policy engine could not be asked", 0)] * len(gathered)
        for later, answer in zip(waiting, answers, strict=True):
            try:
                later.settle(answer)
            except Exception as bug:  # noqa: BLE001 - one request's is not another's
                self._report(bug)

    def _ask(self, gathered: list[tuple[bytes, int]]) -> list[Answered]:
        if len(gathered) == 1:
            return [self._policy.evaluate(*gathered[0], self._deadline_ns)]
        answers: list[Answered] = []
        while len(answers) < len(gathered):
            answers += self._policy.evaluate_many(gathered[len(answers) : len(answers) + MANY], self._deadline_ns)
        return answers

    def _report(self, bug: Exception) -> None:
        if self._loop is not None:
            self._loop.call_exception_handler({"message": "a bug in a batch of decisions", "exception": bug})
