"""Reading responses off a connection, without any I/O: octets in, head and content out.

llhttp parses; what it lets through and we do not is refused here (the list stands in the tests): everything without
bound, transfer codings other than chunked, HTTP/1.0 with one, statuses and switches that nobody asked for.
"""

from enum import Enum, auto

import httptools

from ztproxy.upstream.repeated import RepeatedHeads
from ztproxy.upstream.response_fields import Head, Malformed, Names, read

HEAD_LIMIT = 64 * 1024
FIELDS_LIMIT = 200
INTERIM_LIMIT = 16
_FRAMING_LIMIT = 64 * 1024
_FRAMING_SHARE = 16
_CONTINUE = 100
_SWITCHING, _FIRST_FINAL, _LAST = 101, 200, 599
_WITHOUT_CONTENT = (204, 304)
_names = Names()
_repeated = RepeatedHeads()


class End(Enum):
    """What the server's closing of the connection means in the middle of a response."""

    TRUNCATED = auto()
    COMPLETE = auto()


class ResponseReader:
    """One connection's responses, one after the other.

    After each `feed` look at, in this order: `problem`; `interims`, to be emptied by the reader's user; then `head`
    and `status` once there; `content`, to be emptied by the reader's user; `switched` and `rest`; `complete`, and
    then `reusable`.
    """

    __slots__ = (
        "_asks_head",
        "_asks_switch",
        "_content_octets",
        "_fields",
        "_head_octets",
        "_interims",
        "_parser",
        "_plain",
        "_spent",
        "_understood",
        "_wire_octets",
        "complete",
        "content",
        "head",
        "interims",
        "problem",
        "rest",
        "reusable",
        "started",
        "status",
        "switched",
    )

    def __init__(self) -> None:
        self._spent = True
        self.begin(asks_head=False, asks_switch=False)

    def begin(self, *, asks_head: bool, asks_switch: bool) -> None:
        """Expect the response to a new request: one of method HEAD, or one that asks to switch protocols."""
        if self._spent:
            self._parser = httptools.HttpResponseParser(self)
            self._spent = False
        self._asks_head = asks_head
        self._asks_switch = asks_switch
        self._fields: list[tuple[bytes, bytes]] = []
        self._understood: list[tuple[int, bytes]] = []
        self._head_octets = self._wire_octets = self._content_octets = self._interims = 0
        self._plain = False
        self.started = self.complete = self.reusable = self.switched = False
        self.status = 0
        self.head: Head | None = None
        self.interims: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        self.content: list[bytes] = []
        self.problem: str | None = None
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Read octets as they came. Never raises; `problem` says what was wrong."""
        self.started = True
        in_head = self.head is None
        whole = in_head and not self._head_octets and not (self._asks_head or self._asks_switch)
        if whole and (known := _repeated.recall(data)) is not None:
            self.status, self.head = known.status, known.head
            if known.content:
                self.content.append(known.content)
            self.complete = self.reusable = True
            return
        if in_head:
            if not self._head_octets:
                self._plain = data.startswith(b"HTTP/1.1 ")
                if not (self._plain or data.startswith(b"H")):
                    self._fail("no HTTP")  # llhttp takes RTSP and ICE, and empty lines before
            self._head_octets += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self.switched = self.problem is None
            self.rest = data[switch.args[0] :]
        except httptools.HttpParserError as wrong:
            self._fail(str(wrong))
        if in_head and self._head_octets > HEAD_LIMIT and self.head is None:
            self._fail("the head is larger than 64 KiB")
        if self.head is not None and self.head.chunked and not self.complete:
            self._count(len(data))
        if whole and self._plain and self.reusable and self.head is not None and not self._interims:
            _repeated.learn(data, self.status, self.head)

    def closed(self) -> End:
        """The server closed the connection in an orderly manner: is the response complete by that (RFC 9112 §6.3)?"""
        head = self.head
        if head is None or self.problem or self.complete or head.chunked or head.length is not None:
            return End.TRUNCATED
        self.complete = True
        return End.COMPLETE

    # What httptools calls.

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False  # the start of a response to a request never sent

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.head is None:  # else trailers, which are dropped
            lower, kind = _names[name]
            if kind:
                self._understood.append((kind, value))
            else:
                self._fields.append((lower, value))

    def on_headers_complete(self) -> None:
        if self.head is not None or self.problem is not None:
            return None
        fields, self._fields = self._fields, []
        understood, self._understood = self._understood, []
        if self._head_octets > HEAD_LIMIT and _size(fields) + _size(understood) > HEAD_LIMIT:
            return self._fail("the head is larger than 64 KiB")
        if len(fields) + len(understood) > FIELDS_LIMIT:
            return self._fail(f"more than {FIELDS_LIMIT} fields")
        try:
            head = read(fields, understood)
        except Malformed as wrong:
            return self._fail(str(wrong))
        status: int = self._parser.get_status_code()
        version = "1.1" if self._plain and not self._interims else self._parser.get_http_version()
        problem = self._objection(status, version, head)
        if problem is not None:
            return self._fail(problem)
        if status < _FIRST_FINAL and status != _SWITCHING:
            return self._interim(status, head)
        self.status = status
        self.head = head
        if self._asks_head and status != _SWITCHING:
            # llhttp cannot be told that no content follows: end here, and begin anew with a fresh parser.
            self.complete = True
            # Content that comes all the same, a moment later, would stand before the next client's response.
            self.reusable = version == "1.1" and not head.close and not head.chunked and not head.length
            self._spent = True
        return None

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False
        else:
            self._content_octets += len(data)
            self.content.append(data)

    def on_message_complete(self) -> None:
        if self.head is not None and not self.complete and self.status != _SWITCHING:
            self.complete = True
            # `should_keep_alive` is only right in here; what 204 and 304 declare may come late (see HEAD above).
            self.reusable = self._parser.should_keep_alive() and not (
                self.head.length and self.status in _WITHOUT_CONTENT
            )

    def _objection(self, status: int, version: str, head: Head) -> str | None:
        if version not in ("1.1", "1.0"):
            return "a version other than HTTP/1.1 and HTTP/1.0"
        if version == "1.0" and head.chunked:
            return "Transfer-Encoding in HTTP/1.0"
        if status == _SWITCHING and (not self._asks_switch or head.switches_to is None or version != "1.1"):
            return "a switch of protocols that nobody asked for"
        if not 100 <= status <= _LAST:  # noqa: PLR2004 - RFC 9110 §15
            return "a status outside 100 to 599"
        if status < _FIRST_FINAL and (head.chunked or head.length is not None):
            return "an interim response with content"
        return None

    def _interim(self, status: int, head: Head) -> None:
        self._interims += 1
        if status != _CONTINUE:  # whether the client may go on is settled at the edge
            self.interims.append((status, head.fields))
        if self._interims > INTERIM_LIMIT:
            self._fail(f"more than {INTERIM_LIMIT} interim responses")

    def _count(self, octets: int) -> None:
        """Chunk extensions and trailers carry nothing: they may not go on without end."""
        self._wire_octets += octets
        if self._wire_octets - self._content_octets > _FRAMING_LIMIT + _FRAMING_SHARE * self._content_octets:
            self._fail("chunk framing without end")

    def _fail(self, problem: str) -> None:
        if self.complete:
            self.reusable = False
        elif self.problem is None:
            self.problem = problem


def _size(fields: list[tuple[bytes, bytes]] | list[tuple[int, bytes]]) -> int:
    return sum([len(value) + (4 if isinstance(name, int) else len(name) + 4) for name, value in fields])
