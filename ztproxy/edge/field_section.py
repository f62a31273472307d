"""A request's header fields, read: those that go on, and what the others said.

A pure function of the raw fields, so that a connection may keep the last result for a client that repeats itself.
"""

from collections.abc import Sequence

from ztproxy.edge.cleaning import DROPPED, KEPT, KEPT_ONCE, Use, Verdict
from ztproxy.edge.framing import read_expectation, read_length, read_options, read_upgrade
from ztproxy.edge.ill_formed import ambiguous, malformed, too_large
from ztproxy.edge.own_cookies import taken_out
from ztproxy.edge.parsed import FieldSection
from ztproxy.edge.remembered import Remembered
from ztproxy.model import Fields, Refusal

RawFields = Sequence[tuple[bytes, bytes]]

_VALUE = bytes(c for c in range(256) if c == ord("\t") or (c >= 0x20 and c != 0x7F))  # noqa: PLR2004 - RFC 9110 §5.5
"""Octets of a value. Those above ASCII pass: they have been seen in the wild, and nobody splits a message at one."""
_WHITE = b" \t"
_CLOSE = b"close"
_NONE: frozenset[bytes] = frozenset()
_HOST, _LENGTH, _CODING = int(Use.HOST), int(Use.CONTENT_LENGTH), int(Use.TRANSFER_ENCODING)
_CONNECTION, _UPGRADE, _EXPECT = int(Use.CONNECTION), int(Use.UPGRADE), int(Use.EXPECT)
_AUTHORIZATION, _PROOF = int(Use.AUTHORIZATION), int(Use.PROOF)
_FORWARDED_FOR, _FORWARDED_PROTO = int(Use.FORWARDED_FOR), int(Use.FORWARDED_PROTO)
_COOKIE = int(Use.COOKIE)


def read_fields(
    raw: RawFields, version: str, verdicts: Remembered[Verdict], maximum: int = 100
) -> FieldSection | Refusal:
    """Read all fields once; `maximum` is how many there may be."""
    if len(raw) > maximum:
        return too_large(f"more than {maximum} header fields")
    if b"".join([value for _, value in raw]).translate(None, _VALUE):
        return malformed("a control character in a field's value")
    clean: list[tuple[bytes, bytes]] = []
    ours: dict[int, list[bytes]] = {}
    once: tuple[bytes, ...] = ()
    cookies: Fields = ()
    for name, value in raw:
        verdict = verdicts[name]
        if isinstance(verdict, Refusal):
            return verdict
        use, lower = verdict
        if use == KEPT:
            clean.append((lower, value.strip(_WHITE)))
        elif use == KEPT_ONCE:
            if lower in once:
                return ambiguous(f"several {lower.decode()} fields")
            once += (lower,)
            clean.append((lower, value.strip(_WHITE)))
        elif use == _COOKIE:
            left, found = taken_out(value.strip(_WHITE))
            cookies += found
            if left or not found:
                clean.append((lower, left))
        elif use != DROPPED:
            ours.setdefault(use, []).append(value.strip(_WHITE))
    return _section(clean, ours, cookies, version)


def _section(
    clean: list[tuple[bytes, bytes]], ours: dict[int, list[bytes]], cookies: Fields, version: str
) -> FieldSection | Refusal:
    hosts = ours.get(_HOST, ())
    if len(hosts) != 1:
        return ambiguous("several Host fields") if hosts else malformed("no Host field")
    length = read_length(ours.get(_LENGTH, ()), ours.get(_CODING, ()), version)
    if isinstance(length, Refusal):
        return length
    options = read_options(ours[_CONNECTION]) if _CONNECTION in ours else _NONE
    if isinstance(options, Refusal):
        return options
    expects = read_expectation(ours.get(_EXPECT, ()), version)
    if isinstance(expects, Refusal):
        return expects
    upgrade = read_upgrade(ours.get(_UPGRADE, ()), options)
    if isinstance(upgrade, Refusal):
        return upgrade
    if options:
        clean = [field for field in clean if field[0] not in options]
    return FieldSection(
        tuple(clean),
        hosts[0],
        length,
        _CLOSE in options or version != "HTTP/1.1",
        expects,
        upgrade,
        tuple(ours.get(_AUTHORIZATION, ())),
        tuple(ours.get(_FORWARDED_FOR, ())),
        tuple(ours.get(_FORWARDED_PROTO, ())),
        {},
        cookies,
        tuple(ours.get(_PROOF, ())),
    )
