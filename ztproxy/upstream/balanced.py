"""An exchange with one of several servers: chosen for it, waited for, and left for another where that is safe."""

from ztproxy.exchange import Client
from ztproxy.model import Authorized, Reason, Refusal
from ztproxy.upstream.choice import Choice
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.deadlines import NEVER
from ztproxy.upstream.forwarding import FAULTS, Exchange
from ztproxy.upstream.member import Member
from ztproxy.upstream.outliers import GATEWAY_ERRORS
from ztproxy.upstream.response import ResponseReader
from ztproxy.upstream.sending import Target

_RETRY_AFTER = ((b"retry-after", b"1"),)


class BalancedExchange(Exchange):
    """For routes with several servers, or with one that has limits, checks or a cookie; else `Exchange` alone does.

    It holds its place at a server, in the queue and in the retry budget until its end, and no longer.
    """

    __slots__ = ("_begun", "_choice", "_member", "_queued", "_tried", "key", "preferred")

    def __init__(self, target: Target, authorized: Authorized, client: Client, choice: Choice) -> None:
        super().__init__(target, authorized, client, choice.cluster.members[0].pool)
        self._choice = choice
        self._member: Member | None = None
        self._tried: tuple[Member, ...] = ()
        """Those that failed it; while there are any, it holds a place in the retry budget."""
        self._queued = self._begun = False
        self._retried = True  # what `Exchange` would do by itself is done here
        hash_key = choice.hash_key
        self.key = 0 if hash_key is None else hash_key(authorized)
        self.preferred = None if choice.sticky is None else choice.preferred(authorized)

    def start(self) -> None:
        """Go to a server, wait for one, or be refused. Calls nothing of the client's before it returns."""
        cluster = self._choice.cluster
        now = self._target.loop.time()
        member = None if cluster.queue else cluster.pick(self.key, now, (), self.preferred)
        if member is not None:
            return self._begin(member)
        self._target.deadlines.watch(self)
        if not cluster.fit(now):
            self._target.loop.call_soon(self.give_up)
        elif cluster.wait(self):
            self._queued = True
            self.deadline = now + cluster.upstream.queue.wait
        else:
            cluster.refused += 1
            self._target.loop.call_soon(self._refuse, _overloaded("every server and the queue are full"))
        return None

    # What the queue calls.

    def proceed(self, member: Member) -> None:
        """There is room."""
        self._queued = False
        self.deadline = NEVER
        self._begin(member)

    def give_up(self) -> None:
        """No server is fit."""
        self._queued = False
        self._refuse(Refusal(Reason.UPSTREAM_UNREACHABLE, cause="no server of this route is fit to be asked"))

    # What differs from an exchange with one server.

    def on_response(self) -> None:
        """The reader has news; before anything is handed over, another server may be asked instead."""
        connection = self._connection
        if connection is not None and self._written and not (self._answered or self.switched):
            reader = connection.reader
            if reader.problem is not None:
                if self._elsewhere(blame=True):
                    return
            elif reader.head is not None:
                if reader.status in self._choice.retried and self._elsewhere(blame=False):
                    return
                if self._choice.sticky is not None:
                    self._mark(reader.head.fields)
        super().on_response()

    def on_lost(self, error: Exception | None) -> None:
        """The connection is gone: one gone stale before its use is nobody's fault."""
        connection = self._connection
        if connection is not None and not (self._answered or self.switched):
            stale = not self._written or (connection.reused and not connection.reader.started)
            if self._elsewhere(blame=not stale, again=stale):
                return
        super().on_lost(error)

    def expire(self) -> None:
        """A time limit has passed: the queue's, the server's, or the client's own."""
        if self._queued:
            self._choice.cluster.refused += 1
            self._refuse(_overloaded("no server had room in time"))
        elif self._answered or self.switched or not self._is_sent() or not self._elsewhere(blame=True):
            super().expire()

    def stop(self) -> None:
        """The proxy is closing."""
        if self._queued:
            self._refuse(_overloaded("the proxy is closing"))
        else:
            super().stop()

    def _unasked(self, connection: Connection) -> None:  # noqa: ARG002 - it is this exchange's own
        """Octets came before the request went out: they answer somebody else's, or nobody's."""
        if not self._elsewhere(blame=False, again=True):
            self._fail(Reason.UPSTREAM_PROTOCOL_ERROR, "an answer before the request")

    def _pass_on(self, reader: ResponseReader) -> None:
        """Hand interim responses over; from then on it is this server's answer that the client waits for."""
        if reader.interims:
            self._begun = True
            sticky = self._choice.sticky
            if sticky is not None:
                reader.interims = [(status, sticky.keep(fields)) for status, fields in reader.interims]
        super()._pass_on(reader)

    def _finish(self) -> None:
        """The response is complete."""
        connection, member = self._connection, self._member
        if connection is not None and member is not None:
            status = connection.reader.status
            if status in GATEWAY_ERRORS or not member.record.spotless:
                self._choice.cluster.answered(member, status, self._target.loop.time())
        super()._finish()

    def _refuse(self, refusal: Refusal) -> None:
        if refusal.reason not in FAULTS or not self._elsewhere(blame=True):
            super()._refuse(refusal)

    def _end(self) -> None:
        super()._end()
        cluster = self._choice.cluster
        if self._queued:
            self._queued = False
            cluster.leave(self)
        if self._member is not None:
            self._member.in_flight -= 1
            if cluster.queue:
                cluster.make_room()
        if self._tried:
            cluster.budget.give_back()

    # Steps.

    def _begin(self, member: Member) -> None:
        self._member = member
        self._pool = member.pool
        member.in_flight += 1
        super().start()

    def _blame(self) -> None:
        if self._member is not None:
            super()._blame()
            self._choice.cluster.failed(self._member, self._target.loop.time())

    def _elsewhere(self, *, blame: bool, again: bool = False) -> bool:
        """Begin anew at another server, where nothing can be done twice by it; whether it did.

        Args:
            blame: the server failed the request.
            again: the server itself may be asked once more where there is no other.
        """
        member = self._member
        cluster = self._choice.cluster
        if member is None or self._ended or self._begun or len(self._tried) >= cluster.upstream.retries.attempts:
            return False
        if self._written and not (self._is_replayable() and self._authorized.arrived.upgrade is None):
            return False
        tried = (*self._tried, member)
        following = cluster.pick(self.key, self._target.loop.time(), tried, self.preferred)
        if following is None and again:
            following = member
        if following is None or not (self._tried or cluster.budget.take(cluster.in_flight)):
            return False
        self._tried = tried
        if blame:
            self._blame()
        self._leave(member)
        member.retries += 1
        self._begin(following)
        return True

    def _leave(self, member: Member) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.discard()
        self._member = None
        member.in_flight -= 1
        if self._choice.cluster.queue:
            self._choice.cluster.make_room()
        self._written = False
        self.deadline = NEVER

    def _mark(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Lead the client back here, unless its own server is only busy; the cookie's name is ours alone."""
        choice, member = self._choice, self._member
        if choice.sticky is None or member is None:
            return
        fields[:] = choice.sticky.keep(fields)
        own = self.preferred
        if own is None or (own is not member and own not in choice.cluster.fit(self._target.loop.time())):
            fields.append(choice.sticky.set(member.index))


def _overloaded(cause: str) -> Refusal:
    return Refusal(Reason.OVERLOADED, cause=cause, fields=_RETRY_AFTER)
