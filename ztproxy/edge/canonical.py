"""One canonical request out of a request line and fields: `Arrived`, or the refusal of what has two readings.

Pure: what is read was parsed before, clocks and request id are arguments. Framing comes first, then the target, then
who is addressed and who the socket's peer speaks for.
"""

from ztproxy.edge.authority import DEFAULT_PORTS, Authority
from ztproxy.edge.forwarded import Networks, Peer, read_peer, read_scheme, read_source
from ztproxy.edge.ill_formed import ambiguous, malformed
from ztproxy.edge.parsed import FieldSection, Line, Moment, Origin, Target
from ztproxy.edge.reading import Reading
from ztproxy.edge.upgrading import read_upgrade_request
from ztproxy.model import Arrived, Connection, Reason, Refusal

METHODS = frozenset(
    b"""GET HEAD POST PUT DELETE PATCH OPTIONS ACL BIND CHECKOUT COPY LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE
    NOTIFY PROPFIND PROPPATCH PURGE QUERY REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE""".split()
)
"""What is forwarded: never CONNECT, which is another kind of proxy, nor TRACE, which echoes credentials."""
_NO_ROUTE = Refusal(
    Reason.ROUTE_NOT_FOUND, "OPTIONS * asks about the server as a whole, and routes alone are published"
)
"""RFC 9110 §9.3.7; an answer for all of them would tell strangers what only the policy of each may tell."""
_VERSIONS = frozenset({"HTTP/1.0", "HTTP/1.1"})


def read_line(line: Line) -> Refusal | None:
    """Refuse methods and versions that are not for us."""
    if line.version not in _VERSIONS:
        return malformed("a version other than HTTP/1.0 and HTTP/1.1")
    if line.method not in METHODS:
        return malformed("a method that is not forwarded")
    return None


def arrive(line: Line, section: FieldSection, moment: Moment, origin: Origin, reading: Reading) -> Arrived | Refusal:
    """The canonical request, or why there is none."""
    connection, peer = origin.connection, origin.peer
    if line.target == b"*" and line.method == b"OPTIONS":
        return _NO_ROUTE
    asked = reading.targets[line.target]
    if isinstance(asked, Refusal):
        return asked
    target, path = asked.target, asked.path
    authority = reading.authorities[section.host]
    if isinstance(authority, Refusal):
        return authority
    source, scheme = peer.address, connection.scheme
    if peer.trusted:
        vouched = _vouched(section, peer, scheme, reading.trusted_proxies)
        if isinstance(vouched, Refusal):
            return vouched
        source, scheme = vouched
    if refusal := _addressed(authority, scheme, target, connection, reading):
        return refusal
    if section.upgrade is not None:
        refusal = read_upgrade_request(line.method, line.version, section, reading.upgrades)
        if refusal is not None:
            return refusal
    default = DEFAULT_PORTS[scheme]
    return Arrived(
        moment.request_id,
        moment.wall,
        moment.monotonic,
        connection,
        source,
        line.method.decode("ascii"),
        scheme,
        authority.host,
        authority.port or default,
        authority.written(default),
        path.text,
        path.segments,
        target.query or "",
        target.query is not None,
        section.fields,
        section.authorization,
        section.content_length,
        section.upgrade,
        line.version,
        section.notes,
        section.own_cookies,
        section.proofs,
    )


def unread(moment: Moment, connection: Connection) -> Arrived:
    """Stands for a request that could not be read where its address is charged: who and when, and nothing asked."""
    return Arrived(
        request_id=moment.request_id,
        wall=moment.wall,
        monotonic=moment.monotonic,
        connection=connection,
        source=read_peer(connection.peer, ()).address,
        method="",
        scheme=connection.scheme,
        host="",
        port=0,
        authority=b"",
        path="",
        segments=(),
        query="",
        has_query=False,
        fields=(),
        unverified_authorization=(),
        content_length=0,
    )


def _vouched(section: FieldSection, peer: Peer, own: str, networks: Networks) -> tuple[str, str] | Refusal:
    source = read_source(peer, section.forwarded_for, networks)
    if isinstance(source, Refusal):
        return source
    scheme = read_scheme(section.forwarded_proto, own)
    return scheme if isinstance(scheme, Refusal) else (source, scheme)


def _addressed(
    authority: Authority, scheme: str, target: Target, connection: Connection, reading: Reading
) -> Refusal | None:
    """Refuse a Host that differs from the target's authority, or from the name in the TLS handshake (421)."""
    if target.authority is not None:
        named = reading.authorities[target.authority]
        if isinstance(named, Refusal):
            return named
        default = DEFAULT_PORTS[scheme]
        if target.scheme != scheme or named.written(default) != authority.written(default):
            return ambiguous("the request target names another server than Host")
    tls = connection.tls
    if tls is not None and tls.server_name is not None and tls.server_name != authority.host:
        return Refusal(Reason.MISDIRECTED_REQUEST, "Host differs from the server name in the TLS handshake")
    return None
