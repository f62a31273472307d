"""The head of a request towards an upstream, written from what was authorised and from nothing else."""

import hmac
import re
from hashlib import sha256

from ztproxy.config.believed import fold
from ztproxy.config.routes import Route
from ztproxy.model import Arrived, Authorized, Fields, Reason, Refusal, Token
from ztproxy.upstream.passing import Dropped, folded, is_reserved
from ztproxy.upstream.rewriting import rewriting
from ztproxy.upstream.statement import Statements


class RequestHead:
    """Writes the heads of one route's requests.

    Args:
        route: the route.
        statements: the fields that tell about the client.
    """

    def __init__(self, route: Route, statements: Statements) -> None:
        self._may_set = frozenset(name for name in folded(route.policy_headers) if not is_reserved(name))
        rules = route.headers.request
        self._dropped = Dropped(route.policy_headers, route.keep_headers, rules.replaced)
        # Before the request's id, so that what no route sets costs nothing.
        self._set = b"".join([b"%b: %b\r\n" % field for field in rules.fields]) + b"X-Request-Id: "
        self._rewrite = None if route.rewrite is None else rewriting(route.rewrite)
        self._statements = statements
        self._forward_token = route.forward_token
        self._exchanges = route.token_exchange is not None
        self._preserve_host = route.served_by.preserve_host

    def write(self, authorized: Authorized, host: bytes) -> bytes | Refusal:
        """The head, its empty line included; `host` is the server's, as Host names it.

        Refuses what no stage should have let through: `internal-error`, `request-ambiguous` or `policy-malformed`; and
        with `assertion-too-large` whom it cannot tell the server about.
        """
        arrived = authorized.arrived
        path = arrived.path if self._rewrite is None else self._rewrite(arrived.path)
        target = f"{path}?{arrived.query}" if arrived.has_query else path
        if not (target.isascii() and target.isprintable()) or " " in target:
            return Refusal(Reason.INTERNAL_ERROR, cause="the request's target is not in its canonical form")
        if arrived.upgrade is not None and arrived.content_length != 0:
            # Written without framing, as a switch is, its content would be read as another request.
            return Refusal(Reason.REQUEST_AMBIGUOUS, "a request to switch protocols has no content", close=True)
        if self._preserve_host:
            host = arrived.authority
        statement = self._statements.of(authorized)
        if isinstance(statement, Refusal):
            return statement
        parts = [
            f"{arrived.method} {target} HTTP/1.1\r\nHost: ".encode("ascii"),
            host,
            b"\r\n",
            self._lines(arrived),
            statement,
            self._set,
            arrived.request_id.encode("ascii"),
        ]
        if authorized.decision.headers:
            wrong = self._add(parts, authorized.decision.headers)
            if wrong is not None:
                return wrong
        if self._exchanges and authorized.token is not None:
            if not re.fullmatch(rb"[A-Za-z0-9._~+/=-]+", authorized.credentials):
                return Refusal(Reason.INTERNAL_ERROR, cause="no token was obtained for the upstream")
            parts += (b"\r\nAuthorization: Bearer ", authorized.credentials)
        if self._forward_token and authorized.token is not None:
            _add_token(parts, authorized, authorized.token)
        parts.append(_framing(authorized))
        return b"".join(parts)

    def _lines(self, arrived: Arrived) -> bytes:
        """What is passed on of the client's fields; noted for those very fields and no others."""
        noted: tuple[Fields, bytes] | None = arrived.notes.get(self)
        if noted is not None and noted[0] is arrived.fields:
            return noted[1]
        dropped = self._dropped
        lines = b"".join([b"%b: %b\r\n" % field for field in arrived.fields if not dropped[field[0]]])
        arrived.notes[self] = (arrived.fields, lines)
        return lines

    def _add(self, parts: list[bytes], fields: Fields) -> Refusal | None:
        """What the decision sets: declared names, values without control characters."""
        for name, value in fields:
            if (
                fold(name) not in self._may_set
                or not re.fullmatch(rb"[A-Za-z0-9-]+", name)
                or not re.fullmatch(rb"[\t\x20-\x7e\x80-\xff]*", value)
            ):
                cause = f"a header that the decision sets is undeclared or malformed: {name[:64]!r}"
                return Refusal(Reason.POLICY_MALFORMED, cause=cause, decision=None)
            parts += (b"\r\n", name, b": ", value)
        return None


def _add_token(parts: list[bytes], authorized: Authorized, token: Token) -> None:
    """The bearer token that was verified, unless the decision set credentials of its own."""
    values = authorized.arrived.unverified_authorization
    if any(name.lower() == b"authorization" for name, _ in authorized.decision.headers) or len(values) != 1:
        return
    found = re.fullmatch(rb"(?i:bearer) +([A-Za-z0-9._~+/=-]+)", values[0])
    if found and hmac.compare_digest(sha256(found[1]).digest(), token.digest):
        parts += (b"\r\nAuthorization: Bearer ", found[1])


def binds_connection(authorized: Authorized) -> bool:
    """Whether the decision sets credentials that authenticate a whole connection: NTLM and Negotiate (RFC 4559 §6)."""
    return any(
        name.lower() == b"authorization" and value.lstrip().lower().startswith((b"ntlm", b"negotiate"))
        for name, value in authorized.decision.headers
    )


def _framing(authorized: Authorized) -> bytes:
    """How the content is delimited (RFC 9112 §6); the last lines of the head."""
    arrived = authorized.arrived
    if arrived.upgrade is not None:
        return b"\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n" % arrived.upgrade.encode("ascii")
    if arrived.content_length is None:
        return b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    if arrived.content_length or arrived.method in ("POST", "PUT", "PATCH"):
        return b"\r\nContent-Length: %d\r\n\r\n" % arrived.content_length
    return b"\r\n\r\n"
