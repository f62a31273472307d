"""The process that owns the sockets and looks after the workers. It serves no request and loads no policy."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from itertools import chain

import msgspec

from ztproxy.admin.fleet import IssuersRefreshed, Reloaded, WorkerRefreshed
from ztproxy.admin.sessions import Forgetting, Lines, Listing, Revoked, Revoking
from ztproxy.config.loading import ConfigError, placed
from ztproxy.config.spiffe_ids import SCHEME
from ztproxy.edge.binding import BindError
from ztproxy.identity.issuers.refreshing import Refreshed
from ztproxy.observe.fleet import Reloads, WorkerLine
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.workers.fleet import Workers
from ztproxy.workers.identities import Identities
from ztproxy.workers.manifest import disagreement
from ztproxy.workers.plan import How, Plan, fixed, read, unkept
from ztproxy.workers.sockets import Sockets
from ztproxy.workers.systemd import Notify, take_sockets, watchdog_interval
from ztproxy.workers.telling import say
from ztproxy.workers.watching import Watch

LOOK_EVERY = 5.0
"""Seconds between two looks at the workers."""

_SILENT = "no worker says what came of it: look at `ztproxy status`, and ask again"


class CannotStartError(Exception):
    """What keeps the proxy from starting, each problem a line with its place."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class Supervisor:
    """`ztproxy.admin.fleet.Steered`, alive. Make one with `running`.

    Args:
        plan: the first configuration, checked as far as it can be without building it.
    """

    def __init__(self, plan: Plan) -> None:
        pid = os.getpid()
        self._reloads = Reloads()
        self._plan = plan
        self._notify = Notify(os.environ.get("NOTIFY_SOCKET"))
        self._watchdog = watchdog_interval(os.environ, pid)
        self._sockets = Sockets(take_sockets(os.environ, pid))
        self._workers = Workers(self._sockets, say)
        self._reloading = asyncio.Lock()
        self._refreshing = asyncio.Lock()
        self._watch = Watch()
        self._identities = Identities(say, self._rotate)

    # -- its life

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Start the workers, and see that none is left at the end. Raises `CannotStartError`."""
        doors = contextlib.AsyncExitStack()
        try:
            opened = await self._opened(doors)  # first: it can be asked from the start what is not ready
            plan = self._plan = await self._started(self._plan)
            self._reloads = Reloads(last_success=time.time())
            for line in self._workers.summary:
                say(line)
            for name in self._sockets.unused:
                say(f"warning: the service manager's socket {name} belongs to no listener")
            for line in opened:
                say(line)
            self._watch.take(plan)
            tasks = [asyncio.ensure_future(one) for one in (self._look(), self._take_up_changes())]
            for task in tasks:
                task.add_done_callback(_told_of)
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await doors.aclose()
            self._identities.close()
            self._workers.draining = True
            self._workers.kill()
            await self._workers.ended(0.0)
            self._sockets.keep_only(())
            self._notify.close()

    async def _opened(self, doors: contextlib.AsyncExitStack) -> list[str]:
        settings, path = self._plan.settings, self._plan.source.path
        if settings.admin is None and settings.health is None:
            return []
        from ztproxy.admin.doors import open_doors  # noqa: PLC0415 - as large as all else in this process

        try:
            return await open_doors(settings, self, doors)
        except (BindError, LookupError, OSError) as wrong:
            raise CannotStartError([placed(str(wrong), path)]) from None

    async def _started(self, plan: Plan) -> Plan:
        """Have all workers serve by a plan and the workload identity of now. Raises `CannotStartError`."""
        path = plan.source.path
        try:
            identity = await self._identities.prepare(plan.settings)
        except SpiffeError as wrong:
            raise CannotStartError([placed(str(wrong), path)]) from None
        self._identities.serve(identity)
        plan = msgspec.structs.replace(plan, workload=identity.workload)
        if problems := await self._workers.start(plan):
            raise CannotStartError([placed(problem, path) for problem in problems])
        return plan

    def announce(self) -> None:
        """Say that it serves."""
        say("serving" if self._plan.workers == 1 else f"serving with {self._plan.workers} workers")
        self._notify.ready(self._status())

    def drain_time(self) -> float:
        """Seconds that running requests get at the end."""
        return self._plan.settings.drain

    async def drain(self, seconds: float) -> int:
        """Accept no more and let running requests finish; how many connections were cut."""
        self._notify.stopping(f"draining for at most {seconds:g} s")
        self._workers.drain(seconds)
        return await self._workers.ended(seconds)

    def hurry(self) -> None:
        """End the drain at once; logs are still written."""
        self._workers.drain(0.0)

    def reopen_logs(self) -> None:
        """Open log files anew, after they were moved away."""
        self._workers.reopen_logs()

    async def _look(self) -> None:
        """See to it that the workers answer; as long as one does, the service manager's watchdog is told."""
        every = LOOK_EVERY if self._watchdog is None else min(LOOK_EVERY, self._watchdog / 3)
        while True:
            if await self._workers.look(every) and self._watchdog is not None:
                self._notify(WATCHDOG=1)
            await asyncio.sleep(every)

    async def _take_up_changes(self) -> None:
        """Reload when files have changed, where the configuration says so."""
        while True:
            settings = self._plan.settings
            await asyncio.sleep(settings.reload.interval)
            if not settings.reload.watch or self._workers.draining:
                continue
            changed = self._watch.look(self._plan)
            if changed == "files":
                await self.reload("watch", "kept")
            elif changed == "policy" and settings.policy.path is not None:
                if why := await asyncio.to_thread(disagreement, settings.policy.path):
                    say(f"the policy is not taken up: {why}")  # once for each state of the manifest
                await self.reload("watch", "kept" if why else "by-manifest")

    # -- ztproxy.admin.fleet.Steered

    @property
    def reloads(self) -> Reloads:
        """What became of reloads."""
        return msgspec.structs.replace(self._reloads, identity=self._identities.problem)

    def workers(self) -> Sequence[WorkerLine]:
        """Each worker process."""
        return self._workers.lines()

    async def snapshots(self) -> Sequence[bytes]:
        """The counters of all workers, and of those that are gone what they counted."""
        return await self._workers.snapshots()

    async def statuses(self) -> Sequence[bytes]:
        """Of the workers that answer."""
        return [status for _, status in await self._workers.ask("status") if status]

    async def unready(self) -> list[str]:
        """What is not ready; empty when all is."""
        if self._workers.draining:
            return ["the proxy ends: it drains"]
        found: dict[str, None] = {}
        for member, answer in await self._workers.ask("unready"):
            if member.state != "ready":
                continue
            if answer is None:
                found[f"worker {member.number} does not answer"] = None
            else:
                found |= dict.fromkeys(msgspec.json.decode(answer, type=list[str]))
        return list(found) if self._workers.ready() else ["no worker serves"]

    def issuers(self) -> Sequence[str]:
        """Those that can be asked, by their names."""
        return [one.issuer for one in self._plan.settings.issuers if not one.issuer.startswith(SCHEME)]

    async def refresh(self, issuer: str | None) -> IssuersRefreshed:
        """Ask one issuer, or all, now, in all workers; one at a time."""
        async with self._refreshing:
            answers = await self._workers.refresh(issuer)
        decode = msgspec.json.Decoder(tuple[Refreshed, ...]).decode
        made = IssuersRefreshed(
            tuple(WorkerRefreshed(one.number, None if said is None else decode(said)) for one, said in answers)
        )
        say(f"issuers were asked anew: {issuer or 'all'}" + (", not all of them answered" if made.failed else ""))
        return made

    async def sessions(self, wanted: Listing) -> Lines:
        """Some of the open sessions."""
        answer = await self._workers.act(wanted)
        return Lines(problem=_SILENT) if answer is None else msgspec.json.decode(answer, type=Lines)

    async def revoke(self, wanted: Revoking) -> Revoked:
        """End sessions, in all workers at once."""
        answer = await self._workers.act(wanted)
        await self._workers.act_all(Forgetting())
        revoked = Revoked(problem=_SILENT) if answer is None else msgspec.json.decode(answer, type=Revoked)
        say(f"sessions revoked: {revoked.ended}" + (f"; {revoked.problem}" if revoked.problem else ""))
        return revoked

    async def reload(self, cause: str, how: How = "read") -> Reloaded:
        """Take up changed files in all workers or in none."""
        async with self._reloading:
            self._notify.reloading()
            problems = tuple(await self._reloaded(how))
            self._count(problems)
            made = Reloaded(problems, self._plan.generation, self._workers.revision)
            for problem in problems:
                say(f"reload ({cause}) failed: {problem}")
            if not problems:
                say(f"reloaded ({cause}): generation {made.generation}, policy revision {made.revision[:12]}")
            self._notify.ready(self._status())
        return made

    async def _reloaded(self, how: How) -> list[str]:
        if self._workers.draining:
            return ["the proxy ends: it drains"]
        self._watch.take(self._plan)
        try:
            plan = read(self._plan.source, self._plan.generation + 1)
        except ConfigError as wrong:
            return [str(problem) for problem in wrong.problems]
        changed = chain(fixed(self._plan, plan), unkept(self._plan, plan) if how == "kept" else ())
        if problems := [str(problem) for problem in changed]:
            return problems
        problems = await self._changed(plan, how)
        if problems:
            return [placed(problem, plan.source.path) for problem in problems]
        self._watch.keep(plan)
        return []

    async def _changed(self, plan: Plan, how: How) -> list[str]:
        """Bring the workers to a plan and the workload identity of now: all of them, or none."""
        members = self._workers.ready()
        if not members:
            self._workers.retry()
            return ["no worker serves that could try it; those that wait are started now: reload again"]
        try:
            identity = await self._identities.prepare(plan.settings)
        except SpiffeError as wrong:
            return [str(wrong)]
        plan = msgspec.structs.replace(plan, workload=identity.workload)
        problems = await self._workers.change(plan, members, how)
        if problems:
            self._identities.forget(identity)
            return problems
        self._plan = plan
        self._identities.serve(identity)
        return []

    async def _rotate(self) -> list[str]:
        """Take up another workload identity under the configuration that serves, whatever its file holds by now."""
        async with self._reloading:
            if self._workers.draining:
                return []
            problems = await self._changed(
                msgspec.structs.replace(self._plan, generation=self._plan.generation + 1), "kept"
            )
            workload = self._plan.workload
            if not problems and workload is not None and workload.svid is not None:
                say(f"spiffe: {workload.svid.spiffe_id} until {_date(workload.svid.not_after)}, taken up")
            return problems

    def _count(self, problems: tuple[str, ...]) -> None:
        before, now = self._reloads, time.time()
        if problems:
            self._reloads = msgspec.structs.replace(
                before, failed=before.failed + 1, last_failure=now, problems=problems
            )
        else:
            self._reloads = msgspec.structs.replace(
                before, succeeded=before.succeeded + 1, last_success=now, problems=()
            )

    def _status(self) -> str:
        problems = self._reloads.problems
        failed = f"; the last reload failed: {problems[0]}" if problems else ""
        return (
            f"{len(self._workers.ready())} of {self._plan.workers} workers, generation {self._plan.generation}{failed}"
        )


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _told_of(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and (bug := task.exception()) is not None:
        say(f"a bug in ztproxy: {type(bug).__name__}: {bug}")
