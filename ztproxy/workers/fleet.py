"""All workers: started, restarted when they die, and brought from one configuration to the next together."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence

from ztproxy.edge.binding import BindError
from ztproxy.identity.issuers.refreshing import Refreshing
from ztproxy.observe.fleet import WorkerLine
from ztproxy.observe.snapshot import Gathered
from ztproxy.workers.backoff import Backoff
from ztproxy.workers.member import Member, WorkerLostError
from ztproxy.workers.messages import Action, Commit, Failed, Prepared, Question
from ztproxy.workers.plan import How, Plan
from ztproxy.workers.sockets import Sockets

SILENT = 30.0
"""Seconds without an answer after which a worker is taken to hang, and ended."""
ANSWER_TIME = 2.0
"""Seconds that a worker may take to answer for /readyz, status and metrics."""
ACTION_TIME = 60.0
REFRESH_TIME = 30.0
"""Seconds that it may take to do what an operator asks."""
END_TIME = 5.0
"""Seconds that a worker has to end after its drain is over."""


class _Slot:
    """The place of one worker."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.member: Member | None = None
        self.restarts = 0
        self.backoff = Backoff(time.monotonic)
        self.since = time.time()
        self.wake = asyncio.Event()


class Workers:
    """The workers of one supervisor.

    Args:
        sockets: what they listen on.
        say: tells the operator.
    """

    def __init__(self, sockets: Sockets, say: Callable[[str], None]) -> None:
        self.plan: Plan | None = None
        """What serves."""
        self.revision = ""
        """Of the policy that decides."""
        self.summary: tuple[str, ...] = ()
        """What the first worker said of the configuration that serves."""
        self.draining = False
        self._gathered = Gathered()
        self._sockets = sockets
        self._say = say
        self._slots: list[_Slot] = []
        self._keepers: list[asyncio.Task[None]] = []
        self._changing = asyncio.Lock()

    # -- what they are

    def members(self) -> list[Member]:
        """Those that run."""
        return [slot.member for slot in self._slots if slot.member is not None]

    def ready(self) -> list[Member]:
        """Those that serve."""
        return [member for member in self.members() if member.state == "ready"]

    def lines(self) -> tuple[WorkerLine, ...]:
        """Each worker, running or not."""
        return tuple(
            WorkerLine(0, "dead", slot.since, slot.restarts, slot.number)
            if slot.member is None
            else WorkerLine(slot.member.pid, slot.member.state, slot.member.since, slot.restarts, slot.number)
            for slot in self._slots
        )

    async def ask(self, what: Question) -> list[tuple[Member, bytes | None]]:
        """Put a question to all that run; None where no answer came in time."""
        members = self.members()
        answers = await asyncio.gather(*(member.ask(what, ANSWER_TIME) for member in members))
        return list(zip(members, answers, strict=True))

    async def refresh(self, issuer: str | None) -> Sequence[tuple[Member, bytes | None]]:
        """Have all that serve ask one issuer, or all, now; what each says, None for those that did not answer."""
        members = self.ready()
        answers = await asyncio.gather(*(member.act(Refreshing(issuer), REFRESH_TIME) for member in members))
        return list(zip(members, answers, strict=True))

    async def act(self, action: Action) -> bytes | None:
        """Have one that serves do something; None where none says what came of it."""
        for member in self.ready():
            if answer := await member.act(action, ACTION_TIME):
                return answer
        return None

    async def act_all(self, action: Action) -> None:
        """Have all that run do something, and wait until they have."""
        await asyncio.gather(*(member.act(action, ANSWER_TIME) for member in self.members()))

    async def snapshots(self) -> Sequence[bytes]:
        """The counters of all, and of those that are gone what they counted."""
        for member, snapshot in await self.ask("snapshot"):
            if snapshot:
                self._gathered.take(member.pid, snapshot)
        return self._gathered.all()

    # -- from one configuration to the next

    async def start(self, plan: Plan) -> list[str]:
        """Start all workers and let them serve; the problems, none when they do."""
        self._slots = [_Slot(number) for number in range(1, plan.workers + 1)]
        try:
            for slot in self._slots:
                slot.member = await Member.spawn(slot.number)
        except OSError as wrong:
            return [f"a worker process cannot be started: {wrong}"]
        problems = await self.change(plan, self.members())
        if not problems:
            create_task = asyncio.get_running_loop().create_task
            self._keepers = [create_task(self._keep(slot)) for slot in self._slots]
        return problems

    async def change(self, plan: Plan, members: Sequence[Member], how: How = "read") -> list[str]:
        """Bring these workers to a configuration: all of them, or none. The problems, none when all went well."""
        async with self._changing:
            return await self._change(plan, members, how)

    async def _change(self, plan: Plan, members: Sequence[Member], how: How) -> list[str]:
        order = plan.order(how)
        replies = await asyncio.gather(*(member.prepare(order) for member in members), return_exceptions=True)
        prepared = [reply for reply in replies if isinstance(reply, Prepared)]
        problems = _problems(members, replies)
        if not problems and len({(one.revision, one.read) for one in prepared}) > 1:
            problems = ["the workers read different files: something changed meanwhile; try again"]
        if not problems and self.draining:
            problems = ["the proxy ends: it drains"]
        if not problems:
            try:
                self._sockets.bind([listener.address for listener in plan.settings.listeners])
            except BindError as wrong:
                problems = [str(wrong)]
        if problems:
            for member in members:
                member.abort(plan.generation)
            return problems
        self.plan, self.revision = plan, prepared[0].revision
        await asyncio.gather(*(self._commit(member) for member in members))
        self._sockets.keep_only(plan.addresses)
        return []

    async def _commit(self, member: Member) -> bool:
        """Let a worker serve by the plan; one that cannot ends, and is started again with it."""
        if self.plan is None:
            raise RuntimeError("there is nothing to serve by")
        addresses = self.plan.addresses
        try:
            done = await member.commit(Commit(self.plan.generation, addresses), self._sockets.of(addresses))
        except WorkerLostError as wrong:
            self._say(f"worker {member.number} (pid {member.pid}) could not take up the configuration: {wrong}")
            member.kill()
            return False
        self.summary = done.summary
        return True

    # -- the life of one worker

    async def _keep(self, slot: _Slot) -> None:
        """Start a worker again whenever it ends, until all are to end."""
        while True:
            if slot.member is not None:
                slot.backoff.began()
                code = await slot.member.ended()
                self._buried(slot, code)
            if self.draining:
                return
            pause = slot.backoff.died()
            self._say(f"worker {slot.number} is started again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(slot.wake.wait(), pause)
            slot.wake.clear()
            if self.draining:
                return
            slot.restarts += 1
            await self._bring_up(slot)

    def _buried(self, slot: _Slot, code: int) -> None:
        member, slot.member, slot.since = slot.member, None, time.time()
        if member is None:
            return
        self._gathered.gone(member.pid)
        if not self.draining:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            self._say(f"worker {slot.number} (pid {member.pid}) {how}")

    async def _bring_up(self, slot: _Slot) -> None:
        """Start a worker and let it serve by the plan of the others."""
        async with self._changing:
            if self.plan is None or self.draining:
                return
            try:
                member = slot.member = await Member.spawn(slot.number)
            except OSError as wrong:
                self._say(f"worker {slot.number} cannot be started: {wrong}")
                return
            try:
                reply = await member.prepare(self.plan.order("read"))
            except WorkerLostError as wrong:
                self._say(f"worker {slot.number} (pid {member.pid}) could not be made ready: {wrong}")
                member.kill()
                return
            if isinstance(reply, Failed):
                self._refuse(member, "; ".join(reply.problems))
            elif reply.revision != self.revision and self.ready():
                self._refuse(member, "the policy on disk is not the one that serves: `ztproxy reload` takes it up")
            else:
                self.revision = reply.revision
                await self._commit(member)

    def _refuse(self, member: Member, why: str) -> None:
        """A worker that would decide by other rules than the others, or by none, does not serve."""
        self._say(f"worker {member.number} (pid {member.pid}) does not serve: {why}")
        member.kill()

    # -- what is done with all of them

    async def look(self, patience: float) -> bool:
        """Ask each whether it still answers, and end those that hang; whether any serves and answers."""
        members = self.members()
        answers = await asyncio.gather(*(member.ask("ping", patience) for member in members))
        now = time.monotonic()
        for member in members:
            if now - member.answered_at > SILENT:
                self._say(f"worker {member.number} (pid {member.pid}) has not answered for {SILENT:g} s and is ended")
                member.kill()
        return any(
            answer is not None and member.state == "ready" for member, answer in zip(members, answers, strict=True)
        )

    def retry(self) -> None:
        """Start those that wait to be started now."""
        for slot in self._slots:
            slot.wake.set()

    def reopen_logs(self) -> None:
        """Have all of them open their log files anew."""
        for member in self.members():
            member.reopen_logs()

    def drain(self, seconds: float) -> None:
        """Have all of them finish what runs within so many seconds; nobody listens any more."""
        self.draining = True
        for member in self.members():
            member.drain(seconds)
        self._sockets.keep_only(())
        self.retry()

    async def ended(self, seconds: float) -> int:
        """Wait for their ends, at most so long and a little more; how many connections were cut."""
        members = self.members()
        waiting = [asyncio.ensure_future(member.ended()) for member in members]
        if waiting:
            _, left = await asyncio.wait(waiting, timeout=seconds + END_TIME)
            if left:
                self.kill()
                await asyncio.wait(left)
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        return sum(member.cut or 0 for member in members)

    def kill(self) -> None:
        """End all at once."""
        for member in self.members():
            member.kill()


def _problems(members: Sequence[Member], replies: Sequence[object]) -> list[str]:
    """What kept workers from preparing, each thing once."""
    found: dict[str, None] = {}
    for member, reply in zip(members, replies, strict=True):
        if isinstance(reply, Failed):
            found |= dict.fromkeys(reply.problems)
        elif isinstance(reply, WorkerLostError):
            found[f"worker {member.number} (pid {member.pid}) could not be made ready: {reply}"] = None
        elif isinstance(reply, BaseException):
            raise reply
    return list(found)
