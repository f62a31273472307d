"""One exchange with an upstream: the request on its way out and the response on its way back."""

import ssl

from ztproxy.model import Reason, Refusal
from ztproxy.upstream.connection import Connection
from ztproxy.upstream.deadlines import NEVER
from ztproxy.upstream.head import binds_connection
from ztproxy.upstream.response import End, ResponseReader
from ztproxy.upstream.response_fields import Head, media_type
from ztproxy.upstream.sending import Sending
from ztproxy.upstream.switching import objection

FAULTS = frozenset(
    {
        Reason.UPSTREAM_UNREACHABLE,
        Reason.UPSTREAM_PROTOCOL_ERROR,
        Reason.UPSTREAM_TLS_FAILED,
        Reason.UPSTREAM_TIMEOUT,
    }
)
"""What a server did, not a client, nor we."""
_SWITCHING = 101


class Exchange(Sending):
    """Forwards one request and hands back its response; the edge knows it as `ztproxy.exchange.Server`.

    It ends exactly once, in `_end`; what is called after that is ignored, and it calls nobody any more.
    """

    __slots__ = ()

    # What the edge calls.

    def abort(self) -> None:
        """The client is gone."""
        if not self._ended:
            self._client_paused = False
            self._give_up()

    def pause(self) -> None:
        """The client reads too slowly; the edge sees to it that it does not do so for ever."""
        self._paused = True
        if self._connection is not None:
            self._connection.pause_reading()
            self.deadline = NEVER

    def resume(self) -> None:
        """The client has caught up."""
        self._paused = False
        if self._connection is not None:
            waits = not self._answered and (self._content is None or self._content.ended)
            self._set_deadline(self._target.response if waits else self._target.idle)
            self._connection.resume_reading()

    # What the connection calls.

    def on_response(self) -> None:
        """The reader has news: a head, content, a problem, the end."""
        connection = self._connection
        if connection is None:
            return
        if not self._written:
            self._unasked(connection)
            return
        reader = connection.reader
        head = reader.head
        if reader.problem is not None:
            self._fail(Reason.UPSTREAM_PROTOCOL_ERROR, reader.problem)
        elif head is None or reader.interims:
            self._pass_on(reader)
        elif reader.status == _SWITCHING:
            if reader.switched:
                self._switch(head, reader.rest)
        else:
            if not self._answered:
                self._answered = True
                if head.length is None and not reader.complete and media_type(head) in self._target.event_streams:
                    self._target = self._target.stream or self._target
                self._client.send_head(reader.status, head.fields, head.length)
            content = reader.content
            if content and not self._ended:  # the client may have left while it was handed the head
                reader.content = []
                self._client.send_body(content[0] if len(content) == 1 else b"".join(content))
            if reader.complete:
                self._finish()
            else:
                self._set_deadline(self._target.idle)

    def on_switched_data(self, data: bytes) -> None:
        """Octets of the protocol switched to."""
        self._set_deadline(self._target.idle)
        self._client.send_octets(data)

    def on_lost(self, error: Exception | None) -> None:
        """The connection is gone: the response's end, a connection gone stale before its use, or a failure."""
        connection = self._connection
        if connection is None:
            return
        if self.switched:
            self._end()
            self._client.send_end() if error is None else self._client.abort("the upstream broke off")
        elif error is None and connection.reader.closed() is End.COMPLETE:
            self._finish()
        elif self._may_retry(connection):
            self._retried = True
            self._written = False
            self._connection = None
            self.deadline = NEVER
            self._connect()
        else:
            reason, cause = _lost(connection, error, tls=self._pool.tls)
            self._fail(reason, f"the connection was lost: {cause}")

    def expire(self) -> None:
        """A time limit has passed."""
        if self._answered or self.switched:
            self._fail(Reason.UPSTREAM_TIMEOUT, "nothing moved for longer than the idle timeout")
        elif self._content is None or self._content.ended:
            self._fail(Reason.UPSTREAM_TIMEOUT, "no response within the response timeout")
        else:
            self._fail(Reason.UPSTREAM_TIMEOUT, "the request's content stood still for longer than the idle timeout")

    def stop(self) -> None:
        """The proxy is closing."""
        if not self._ended:
            self._fail(Reason.OVERLOADED, "the proxy is closing")

    # Steps.

    def _pass_on(self, reader: ResponseReader) -> None:
        """Interim responses go to the client as they come (RFC 9110 §15.2)."""
        interims, reader.interims = reader.interims, []
        for status, fields in interims:
            self._client.send_interim(status, fields)
        if reader.head is not None:
            self.on_response()

    def _unasked(self, connection: Connection) -> None:
        """Octets came before the request went out: they answer somebody else's, or nobody's."""
        self._connection = None
        connection.discard()
        if self._retried:
            self._fail(Reason.UPSTREAM_PROTOCOL_ERROR, "an answer before the request")
        else:
            self._retried = True
            self._connect()

    def _switch(self, head: Head, rest: bytes) -> None:
        wrong = objection(self._authorized.arrived, head)
        if wrong is not None:
            return self._fail(Reason.UPSTREAM_PROTOCOL_ERROR, wrong)
        self.switched = True
        self._target = self._target.stream or self._target
        self._set_deadline(self._target.idle)
        self._client.send_switch(head.fields)
        if rest:
            self._client.send_octets(rest)
        return None

    def _finish(self) -> None:
        """The response is complete. The connection is used again only when both messages ended on it in step."""
        connection = self._connection
        if connection is None:  # the client went away while it was handed the response
            return
        content, reader = self._content, connection.reader
        in_step = content is None or (content.ended and not connection.transport.get_write_buffer_size())
        shared = reader.head is not None and reader.head.shareable and self._shareable()
        self._end()
        if reader.reusable and in_step and shared:
            self._pool.put(connection, self._target.loop.time())
        else:
            connection.discard()
        self._client.send_end()

    def _shareable(self) -> bool:
        """The request left the connection as free for other clients as it was."""
        authorized = self._authorized
        return authorized.arrived.upgrade is None and not (authorized.decision.headers and binds_connection(authorized))

    def _fail(self, reason: Reason, cause: str) -> None:
        answered = self._answered or self.switched
        if reason in FAULTS and (reason is not Reason.UPSTREAM_TIMEOUT or self._is_late()):
            self._blame()
        self._give_up()
        cause = f"{self._pool.name}: {cause}"
        if answered:
            self._client.abort(cause)
        else:
            self._client.refuse(Refusal(reason, cause=cause))

    def _refuse(self, refusal: Refusal) -> None:
        if not self._ended:
            if refusal.reason in FAULTS:
                self._blame()
            self._give_up()
            self._client.refuse(refusal)

    def _is_sent(self) -> bool:
        """Whether the request is complete, so that it is the server who is waited for."""
        return self._content is None or self._content.ended

    def _is_late(self) -> bool:
        """Whether it is the server that took too long: not a client whose content stands still, nor a silent stream."""
        return self._target.stream is not None and (self._answered or self._is_sent())

    def _blame(self) -> None:
        """The server failed the request."""
        self._pool.failures += 1


def _lost(connection: Connection, error: Exception | None, *, tls: bool) -> tuple[Reason, str]:
    """Why a connection was lost; a server that refuses our certificate says so only now (RFC 8446 §4.4.2.4).

    It resets the connection as it does, and the reset may overtake its alert.
    """
    cause = str(error or "closed by the server")
    if connection.reader.started:
        return Reason.UPSTREAM_PROTOCOL_ERROR, cause
    if isinstance(error, ssl.SSLError):
        return Reason.UPSTREAM_TLS_FAILED, cause
    if tls and not connection.reused and isinstance(error, ConnectionResetError):
        return Reason.UPSTREAM_TLS_FAILED, f"{cause}, as by a server that refuses our certificate"
    return Reason.UPSTREAM_UNREACHABLE, cause
