"""One connection to an upstream server: a socket, a reader, and at most one exchange at a time."""

import asyncio
from typing import Protocol, cast

from ztproxy.upstream.response import ResponseReader

HIGH_WATER = 64 * 1024
"""Octets waiting to be written above which the client is asked to pause."""


class User(Protocol):
    """The exchange that a connection serves."""

    switched: bool

    def on_response(self) -> None:
        """The reader has news."""

    def on_switched_data(self, data: bytes) -> None:
        """Octets of the protocol switched to."""

    def on_lost(self, error: Exception | None) -> None:
        """The connection is gone; None when the server closed it in an orderly manner."""

    def on_full(self) -> None:
        """Too much waits to be written."""

    def on_drained(self) -> None:
        """Writing may go on."""


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def made(self, connection: "Connection") -> None:
        """It is open."""

    def lost(self, connection: "Connection") -> None:
        """It is gone, whether idle or in use."""


class Connection(asyncio.Protocol):
    """Made by a pool for one server under one TLS configuration; knows its pool, so it cannot come back to another."""

    __slots__ = ("_owner", "_paused", "alive", "idle_since", "keep", "reader", "reused", "transport", "user")

    transport: asyncio.Transport

    def __init__(self, owner: Owner, keep: float) -> None:
        self._owner = owner
        self.reader = ResponseReader()
        self.user: User | None = None
        self.alive = False
        self.reused = False
        self.idle_since = 0.0
        self.keep = keep
        self._paused = False

    def begin(self, user: User, *, asks_head: bool, asks_switch: bool) -> None:
        """Serve an exchange."""
        self.user = user
        self.reader.begin(asks_head=asks_head, asks_switch=asks_switch)

    def end(self, now: float) -> None:
        """The exchange is over and the connection fit for another; a pause does not outlive its exchange."""
        self.user = None
        self.reused = True
        self.idle_since = now
        head = self.reader.head
        if head is not None and head.keep is not None:
            self.keep = min(self.keep, head.keep - 1)
        self.resume_reading()

    def discard(self) -> None:
        """Never use it again."""
        self.user = None
        if self.alive:
            self.alive = False
            self._owner.lost(self)
            self.transport.abort()

    def close_gently(self) -> None:
        """Close once everything written has gone out."""
        self.user = None
        if self.alive:
            self.alive = False
            self._owner.lost(self)
            self.transport.close()

    def pause_reading(self) -> None:
        """Take nothing more from the server for now."""
        if self.alive and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self._paused:
            self._paused = False
            if self.alive:
                self.transport.resume_reading()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.alive = True
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        user = self.user
        if user is None:
            self.discard()  # octets that nobody asked for: what follows belongs to nobody
        elif user.switched:
            user.on_switched_data(data)
        else:
            self.reader.feed(data)
            user.on_response()

    def connection_lost(self, exc: Exception | None) -> None:
        user, self.user = self.user, None
        if self.alive:
            self.alive = False
            self._owner.lost(self)
        if user is not None:
            user.on_lost(exc)

    def pause_writing(self) -> None:
        if self.user is not None:
            self.user.on_full()

    def resume_writing(self) -> None:
        if self.user is not None:
            self.user.on_drained()
