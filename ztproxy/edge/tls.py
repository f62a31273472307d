"""TLS at the edge: OpenSSL between the socket and HTTP, through memory rather than the socket.

Own code instead of the event loop's TLS because there a refused client gets no alert and an idle connection holds
256 KB; here it gets its alert, and what is written in one turn of the loop is one record and one system call.
"""

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import Callable
from typing import Any, Protocol

from cryptography import x509

from ztproxy import model
from ztproxy.edge.contexts import Contexts, EdgeTls
from ztproxy.edge.wire import Application, Endpoint, SocketWire, nobody

Describe = Callable[[tuple[bytes, ...]], model.Certificate | model.Refusal]
"""Reads a verified chain (DER, the leaf first); given by `identity/`."""

RECORD = 16_384
"""Octets of plaintext in the largest record (RFC 8446 §5.1): one read never leaves a part of a record behind."""
SLICE = RECORD + 261
"""Octets fed to OpenSSL at once, a whole record with all around it (RFC 8446 §5.2): its buffers keep the size that they
once had, and half a record is fed in vain."""
UNSENT = 1_048_576
"""Octets that answers to key updates may pile up for a client that does not read them."""
DER = 2
"""`_ssl.ENCODING_DER`."""


class TlsEndpoint(Endpoint, Protocol):
    """What a TLS connection needs to know of its listener."""

    handshake_timeout: float
    """Seconds."""

    @property
    def contexts(self) -> Contexts:
        """What is shown and asked for."""

    def shown(self, chain: tuple[bytes, ...], /) -> model.Certificate | model.Refusal | None:
        """The client certificate, read; None where there is none and none is needed."""

    def handshake_completed(self) -> None:
        """Count it."""

    def handshake_failed(self, failed: model.HandshakeFailed, /) -> None:
        """Tell the operator."""

    def wall(self) -> float:
        """Seconds since 1970."""


class TlsWire(SocketWire):
    """One TLS connection, from the client's hello to close_notify both ways."""

    __slots__ = ("_incoming", "_listener", "_outgoing", "_read", "_received", "_tls", "_unread", "_untouched", "_write")
    _incoming: ssl.MemoryBIO
    _listener: TlsEndpoint
    _outgoing: ssl.MemoryBIO
    _read: Callable[[int], bytes]
    _received: Callable[[bytes], None]
    _tls: EdgeTls
    _write: Callable[[bytes | memoryview], int]

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: TlsEndpoint) -> None:
        super().__init__(loop, endpoint)
        self._listener = endpoint
        self._unread = b""
        self._untouched = True

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._closing:
            return  # there was no room for it: it costs no TLS
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = self._listener.contexts.wrap(self._incoming, self._outgoing)
        inner = inner_of(self._tls)  # saves two calls in Python for each request
        self._read = inner.read
        self._write = inner.write
        self._deadline = self._loop.call_later(self._listener.handshake_timeout, self._handshake_timed_out)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._eof_received:
            return
        scheduled, self._scheduled = self._scheduled, True  # what is answered at once needs no turn of its own
        if self._connected and not self._unread and len(data) <= SLICE:
            self._incoming.write(data)
            self._read_records()
        else:
            self._unread += data
            self._feed()
        self._scheduled = scheduled
        if self._queue:
            self._flush()

    def eof_received(self) -> bool:
        """The socket's end: without close_notify it may be an attacker's, after it the client does not even read.

        Either way the connection is lost; close_notify alone is the end of what the client sends.
        """
        if self._closing:
            return False
        if not (self._connected or self._untouched):
            self._report("the client closed the connection during the handshake")
        self.abort()
        return False

    def connection_lost(self, cause: Exception | None) -> None:
        if not (self._connected or self._closing or self._untouched):
            self._report("the connection was lost during the handshake")
        super().connection_lost(cause)
        self._unread = b""
        self._received = nobody

    def resume_reading(self) -> None:
        super().resume_reading()
        if self._unread or self._incoming.pending:
            self._call_soon(self._go_on)

    # -- decrypting

    def _go_on(self) -> None:
        """Hand over what was already here when reading was paused."""
        if self._closing or not self._reading or self._eof_received:
            return
        scheduled, self._scheduled = self._scheduled, True
        self._read_records()
        self._feed()
        self._scheduled = scheduled
        if self._queue:
            self._flush()

    def _feed(self) -> None:
        """Decrypt slice by slice, as long as somebody reads."""
        data, fed = memoryview(self._unread), 0  # what is left is not copied for each slice
        while fed < len(data) and self._reading and not self._closing and not self._eof_received:
            self._incoming.write(data[fed : fed + SLICE])
            fed += SLICE
            if not self._connected:
                self._untouched = False
                if not self._handshake():
                    continue
            self._read_records()
        self._unread = b"" if self._eof_received else bytes(data[fed:])

    def _read_records(self) -> None:
        incoming = self._incoming
        try:
            while incoming.pending and self._reading and not self._closing:
                if data := self._read(RECORD):
                    self._received(data)
                else:
                    self._client_ended()
                    break
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._broken()
            return
        if self._outgoing.pending and not self._closing:
            self._transport.write(self._outgoing.read())
            if self._transport.get_write_buffer_size() > UNSENT:
                self.abort()

    def _client_ended(self) -> None:
        """The client's close_notify: it may still read (RFC 8446 §6.1)."""
        if not self._eof_received:
            self._eof_received = True
            self._unread = b""
            if self._application is not None:
                self._application.ended()

    def _broken(self) -> None:
        """A record that does not verify, or a message out of place: say so to the client and drop it."""
        self._queue.clear()
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())
        self._linger()

    # -- encrypting

    def _send(self, data: bytes) -> None:
        try:
            written = self._write(data)
            encrypted = self._outgoing.read()
            if written < len(data):  # one record at a time
                rest = memoryview(data)
                pieces = [encrypted]
                while written < len(data):
                    written += self._write(rest[written : written + RECORD])
                    pieces.append(self._outgoing.read())
                encrypted = b"".join(pieces)
        except ssl.SSLError:
            self.abort()
            return
        self._transport.write(encrypted)

    def _send_eof(self) -> None:
        """Send close_notify; the socket's own half stays open until `close`."""
        if not self._connected:
            return
        # It raises as long as the client's own close_notify is out, and when the session is broken already.
        with contextlib.suppress(ssl.SSLError, ValueError):
            self._tls.unwrap()
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())

    # -- the handshake

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._transport.write(self._outgoing.read())
            return False
        except ssl.SSLError as wrong:
            self._handshake_failed(cause_of(wrong))
            return False
        if self._outgoing.pending:
            self._transport.write(self._outgoing.read())
        if self._listener.contexts.asks and self._tls.session_reused:
            # Only dropping it without close_notify makes OpenSSL forget the session as well.
            self._report("the client resumed a session where client certificates are asked for")
            self.abort()
            return False
        self._established()
        return not self._closing

    def _established(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        tls, endpoint = self._tls, self._listener
        cipher = tls.cipher()
        peer = self.peer
        self._greeted()
        chain = chain_of(tls) if endpoint.contexts.asks else ()
        connection = model.Connection(
            listener=endpoint.name,
            scheme="https",
            peer=peer.address,
            peer_port=peer.port,
            local_port=peer.local_port,
            tls=model.Tls(version=tls.version() or "", cipher=cipher[0] if cipher else "", server_name=tls.server_name),
            unchecked_certificate=endpoint.shown(chain),
            anonymous=self._anonymous(),
        )
        application: Application = endpoint.application()
        self._application = application
        self._received = application.received
        self._connected = True
        endpoint.handshake_completed()
        application.connected(self, connection)

    def _handshake_failed(self, cause: str) -> None:
        """Tell the operator, give the client its alert, and linger: a reset would take the alert from it."""
        chain = chain_of(self._tls)
        self._report(cause, chain[0] if chain else None)
        self._broken()

    def _handshake_timed_out(self) -> None:
        self._deadline = None
        if not (self._connected or self._closing):
            self._report("the handshake took too long")
            self.abort()

    def _report(self, cause: str, shown: bytes | None = None) -> None:
        self._listener.handshake_failed(
            model.HandshakeFailed(
                wall=self._listener.wall(),
                listener=self._listener.name,
                peer=self.peer.address,
                peer_port=self.peer.port,
                server_name=self._tls.server_name,
                cause=cause,
                certificate_subject=None if shown is None else unverified_subject(shown),
                certificate_fingerprint=None if shown is None else hashlib.sha256(shown).hexdigest(),
            )
        )


def inner_of(tls: ssl.SSLObject) -> Any:
    """The object in C below `ssl.SSLObject`.

    It alone has `get_verified_chain` before Python 3.13; typeshed knows nothing of it.
    """
    return getattr(tls, "_sslobj")  # noqa: B009 - mypy would not let it pass otherwise


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain that OpenSSL built, as DER, the leaf first; verified only if the handshake came about."""
    return tuple(certificate.public_bytes(DER) for certificate in inner_of(tls).get_verified_chain() or ())


def unverified_subject(der: bytes) -> str | None:
    """The subject of a certificate that was refused, for the operator; None when it cannot be read."""
    try:
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()
    except ValueError:
        return None


def cause_of(wrong: ssl.SSLError) -> str:
    """OpenSSL's reason in words: `certificate verify failed: certificate has expired`."""
    reason = str(getattr(wrong, "reason", None) or "tls failed").replace("_", " ").lower()
    if isinstance(wrong, ssl.SSLCertVerificationError) and wrong.verify_message:
        return f"{reason}: {wrong.verify_message}"
    return reason
