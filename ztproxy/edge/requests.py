"""From octets to requests: llhttp splits them, `canonical` reads them, and what llhttp does not bound is bounded here.

llhttp's callbacks only collect. It cannot be stopped within what it is fed, so it is never fed more than one request:
no further than an empty line, where heads and chunked bodies end, or what Content-Length says. So it is also known
where each request line stands.
"""

from collections import deque
from typing import cast

import httptools

from ztproxy.edge.canonical import METHODS, arrive, read_line
from ztproxy.edge.exchange import Carrier, Exchange
from ztproxy.edge.field_section import read_fields
from ztproxy.edge.ill_formed import URI_TOO_LONG, malformed, too_large
from ztproxy.edge.parsed import FieldSection, Line, Moment, Origin
from ztproxy.model import Arrived, Refusal

SLICE = 2048
"""Octets parsed at a time outside a body."""
BODY_SLICE = 16_384
"""Octets of a chunked body parsed at a time; of a body with a length, what is left of it."""
LOOSE = 16_384
"""Octets of chunk framing and trailers allowed beside what each chunk needs (CVE-2023-39326)."""
PER_CHUNK = 16
PER_OCTET = 3
"""Framing that an octet of content, and the chunk it comes in, may need: a client may send them one by one."""
LONGEST_BLOCK = 8192
"""Octets of fields that are kept to be compared with the next request's."""
_HTTP_11 = "HTTP/1.1"
_PLAIN_VERSION = b"HTTP/1.1"
_LINE_END = b"\r\n"
_EMPTY_LINE = b"\r\n\r\n"
_LOOSE_LINE = malformed("a request line that is not method, target and version with one space between")


class Requests:
    """The requests of one connection: `parse` puts an `Exchange` into the queue at the end of each head."""

    __slots__ = (
        "_carrier",
        "_fields",
        "_head_octets",
        "_in_head",
        "_kept",
        "_last_block",
        "_last_raw",
        "_last_section",
        "_last_version",
        "_left",
        "_llhttp",
        "_origin",
        "_overhead",
        "_queue",
        "_raw",
        "_tail",
        "_target",
        "_turned",
        "current",
        "exhausted",
        "upgraded",
    )  # fmt: skip

    def __init__(self, carrier: Carrier, origin: Origin, queue: deque[Exchange]) -> None:
        self._carrier = carrier
        self._origin = origin
        self._queue = queue
        self._llhttp: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self.current: Exchange | None = None
        """The request whose body is being read."""
        self.exhausted = False
        """Nothing more will be read: this was the last request, or it cannot be read on."""
        self.upgraded = False
        """What is left belongs to another protocol."""
        self._fields: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._in_head = self._turned = False
        self._head_octets = self._overhead = 0
        self._raw = self._kept = self._tail = b""
        self._last_raw: list[tuple[bytes, bytes]] = []
        self._last_version = ""
        self._last_section: FieldSection | None = None
        self._last_block = b""
        """The octets that `_last_section` was read from, where a request may follow that repeats them; or nothing."""
        self._left = carrier.site.most_requests

    @property
    def partial(self) -> bool:
        """A head has begun and is not complete."""
        return self._in_head or self._head_octets > 0

    def end(self) -> None:
        """Let go of llhttp, which holds our methods, and of the connection: no cycle is left to the collector."""
        self.exhausted = True
        self._llhttp = None
        self.current = None
        self._carrier = cast("Carrier", None)  # nothing is asked of it any more: all is refused before

    def renew(self, origin: Origin) -> None:
        """Read by the carrier's new site: what was remembered of the fields was read by another's rules."""
        self._origin = origin
        self._last_section = None
        self._last_block = b""

    def parse(self, data: bytes) -> bytes:
        """Parse a slice, and return what is left."""
        current, llhttp = self.current, self._llhttp
        if llhttp is None:
            return b""
        before = 0
        if current is None:
            if self._last_block and not self._kept and (rest := self._repeated(data)) is not None:
                return rest
            size = self._through_empty_line(data, SLICE)
        else:
            before = current.received
            length = current.length
            size = self._through_empty_line(data, BODY_SLICE) if length is None else length - before
        piece, rest = (data, b"") if len(data) <= size else (data[:size], data[size:])
        self._turned = False
        self._raw = self._kept + piece if self._kept else piece
        try:
            llhttp.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self.exhausted = self.upgraded = True
            return piece[upgrade.args[0] :] + rest
        except httptools.HttpParserCallbackError:
            raise
        except httptools.HttpParserError as wrong:
            self.refuse(malformed(str(wrong)))
        else:
            if self._in_head or not self._turned:
                self._bound(len(piece), before)
            if self._in_head or self._head_octets:
                self._kept = self._raw
                self._tail = self._raw[-3:]
            else:
                self._kept = b""
                self._tail = (self._tail + piece[-3:])[-3:] if self.current is not None else b""
        return rest

    def _through_empty_line(self, data: bytes, most: int) -> int:
        """How many octets to feed: up to the end of the first empty line, which may have begun before, or `most`."""
        tail = self._tail
        if tail and (at := (tail + data[:3]).find(_EMPTY_LINE)) >= 0:
            return at + 4 - len(tail)
        at = data.find(_EMPTY_LINE, 0, most)
        return most if at < 0 else at + 4

    def refuse(self, refusal: Refusal) -> None:
        """What has come cannot be read on: refuse it in its turn, and read no more."""
        if self.exhausted:
            return
        self.exhausted = True
        current, self.current = self.current, None
        if current is not None:
            current.fail(refusal)
            return
        carrier = self._carrier
        site = carrier.site
        exchange = Exchange(carrier, refusal, site.request_ids(), site.wall(), site.monotonic())
        exchange.persistent = False
        self._queue.append(exchange)

    def _bound(self, octets: int, before: int) -> None:
        """Bound an unfinished head, and a chunked body's framing."""
        current = self.current
        if current is not None:
            if current.length is None:
                self._overhead = max(0, self._overhead + octets - (1 + PER_OCTET) * (current.received - before))
                if self._overhead > LOOSE:
                    self.refuse(malformed("too much chunk framing for the content"))
            return
        limits = self._carrier.site.head_limits
        self._head_octets = 1 if self._turned else self._head_octets + octets
        if len(self._target) > limits.request_line:
            self.refuse(too_large("the request line is too long", URI_TOO_LONG))
        elif self._head_octets > limits.head:
            self.refuse(too_large("the request's head is too large"))
        elif len(self._fields) > limits.fields:
            self.refuse(too_large(f"more than {limits.fields} header fields"))

    # -- llhttp's callbacks

    def on_message_begin(self) -> None:
        """A request begins."""
        self._in_head = True
        self._fields = []
        self._target = b""

    def on_url(self, piece: bytes) -> None:
        """The target, perhaps in pieces."""
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field; after the head, one of the trailer section, which goes no further (RFC 9110 §6.5.1)."""
        if self._in_head:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        self._turned = True
        self._overhead = self._head_octets = 0
        llhttp = self._llhttp
        if self.exhausted or llhttp is None:
            return
        site = self._carrier.site
        moment = Moment(site.request_ids(), site.wall(), site.monotonic())
        line = Line(llhttp.get_method(), self._target, "HTTP/" + llhttp.get_http_version())
        request = self._read(line, moment) if self._as_written(line) else _LOOSE_LINE
        self.current = self._begun(request, line, moment)

    def on_body(self, data: bytes) -> None:
        """Content."""
        if self.current is not None:
            self.current.take(data)

    def on_chunk_header(self) -> None:
        """A chunk begins, and has earned its framing."""
        self._overhead -= PER_CHUNK

    def on_message_complete(self) -> None:
        """The request is complete. After the connection's last one nothing is read."""
        self._turned = True
        current, self.current = self.current, None
        if current is not None:
            current.complete = True
            if not current.persistent:
                self.exhausted = True

    # -- from a head to an exchange

    def _begun(self, request: Arrived | Refusal, line: Line, moment: Moment) -> Exchange:
        """The exchange of a head that is complete, at the end of the queue."""
        exchange = Exchange(self._carrier, request, moment.request_id, moment.wall, moment.monotonic)
        self._queue.append(exchange)
        section = self._last_section
        if section is not None:
            exchange.follow(section, is_head=line.method == b"HEAD", version_11=line.version == _HTTP_11)
        self._left -= 1
        if self._left <= 0:
            exchange.persistent = False
        if isinstance(request, Refusal) and request.close:
            exchange.persistent = False
            self.exhausted = True
        return exchange

    def _repeated(self, data: bytes) -> bytes | None:
        """Read a request whose fields are, to the octet, those of the one before it; None: it is for llhttp to read.

        Such a block of fields was read by llhttp as a head without content to its first empty line, which depends on
        its octets alone; so what is left to read is a request line, and only one in its plainest form is read here.
        """
        section, site, block = self._last_section, self._carrier.site, self._last_block
        end = data.find(_LINE_END, 0, site.head_limits.request_line)
        if section is None or end < 0 or not data.startswith(block, end + 2):
            return None
        words = data[:end].split(b" ")
        if len(words) != 3 or words[2] != _PLAIN_VERSION or words[0] not in METHODS or not words[1].startswith(b"/"):  # noqa: PLR2004 - method, target, version
            return None
        line = Line(words[0], words[1], _HTTP_11)
        moment = Moment(site.request_ids(), site.wall(), site.monotonic())
        exchange = self._begun(arrive(line, section, moment, self._origin, site.reading), line, moment)
        exchange.complete = True
        if not exchange.persistent:
            self.exhausted = True
        return data[end + 2 + len(block) :]

    def _block(self, line: Line, section: FieldSection) -> bytes:
        """The octets of the fields that were just read, where a request that repeats them is read without llhttp."""
        if (
            line.version != _HTTP_11
            or section.content_length != 0
            or section.upgrade
            or section.expects
            or section.close
        ):
            return b""
        block = self._raw.lstrip(_LINE_END)[len(_written(line)) :]
        return block if len(block) <= LONGEST_BLOCK and block.find(_EMPTY_LINE) == len(block) - 4 else b""

    def _as_written(self, line: Line) -> bool:
        """Whether the line stands in the octets to the letter: llhttp lets more spaces, and RTSP, pass (RFC 9112 §3).

        Before it only empty lines may stand (§2.2).
        """
        written = _written(line)
        raw = self._raw
        at = 0
        while raw.startswith(b"\r\n", at):
            at += 2
        return raw.startswith(written, at)

    def _read(self, line: Line, moment: Moment) -> Arrived | Refusal:
        """The request that the head makes. A client that repeats its fields has them read once."""
        raw, site = self._fields, self._carrier.site
        section = self._last_section
        if section is None or raw != self._last_raw or line.version != self._last_version:
            self._last_section = None
            self._last_block = b""
            if sum([len(name) + len(value) + 4 for name, value in raw]) > site.head_limits.head:
                return too_large("the request's head is too large")
            read = read_fields(raw, line.version, site.reading.cleaning.verdicts, site.head_limits.fields)
            if isinstance(read, Refusal):
                return read
            self._last_section = section = read
            self._last_raw, self._last_version = raw, line.version
            self._last_block = self._block(line, section)
        if len(line.target) + len(line.method) + len(line.version) + 4 > site.head_limits.request_line:
            return too_large("the request line is too long", URI_TOO_LONG)
        return read_line(line) or arrive(line, section, moment, self._origin, site.reading)


def _written(line: Line) -> bytes:
    """The line as it has to stand in what was received."""
    return b"%b %b %b\r\n" % (line.method, line.target, line.version.encode())
