"""What becomes of a request's header field, by its name: kept, dropped, read here, or refused.

`Arrived` holds nothing that could pose as ours: every spelling of a name that we or a policy set, or that applications
commonly believe, is gone, and so is every name with `_` (HOSTILE: CVE-2025-64484, CVE-2024-45410).
"""

import re
from collections.abc import Iterable
from enum import IntEnum
from functools import partial
from typing import Self

import msgspec

from ztproxy.config.believed import fold, is_believed, is_ours
from ztproxy.config.settings import Settings
from ztproxy.edge.ill_formed import malformed
from ztproxy.edge.remembered import Remembered
from ztproxy.model import Refusal

_TOKEN = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Use(IntEnum):
    """What a field is to us."""

    KEPT = 0
    DROPPED = 1
    HOST = 2
    CONTENT_LENGTH = 3
    TRANSFER_ENCODING = 4
    CONNECTION = 5
    UPGRADE = 6
    EXPECT = 7
    AUTHORIZATION = 8
    FORWARDED_FOR = 9
    FORWARDED_PROTO = 10
    KEPT_ONCE = 11
    COOKIE = 12
    PROOF = 13


KEPT, DROPPED, KEPT_ONCE = int(Use.KEPT), int(Use.DROPPED), int(Use.KEPT_ONCE)
Verdict = tuple[int, bytes]
"""A `Use` and the name in lower case."""

_READ_HERE = {
    b"host": Use.HOST,
    b"content-length": Use.CONTENT_LENGTH,
    b"transfer-encoding": Use.TRANSFER_ENCODING,
    b"connection": Use.CONNECTION,
    b"upgrade": Use.UPGRADE,
    b"expect": Use.EXPECT,
    b"authorization": Use.AUTHORIZATION,
    b"dpop": Use.PROOF,
    b"x-forwarded-for": Use.FORWARDED_FOR,
    b"x-forwarded-proto": Use.FORWARDED_PROTO,
}
_READ_AND_KEPT = {b"cookie": Use.COOKIE}
"""Of these, what is not ours is kept."""
_HOP_BY_HOP = frozenset({b"keep-alive", b"te", b"trailer", b"http2-settings", b"proxy", *_READ_HERE})
"""Of one connection (RFC 9110 §7.6.1), and `Proxy`, which CGI takes for a setting (CVE-2016-5385). Folded."""


_SINGLE = frozenset(
    {
        b"access-control-request-method",
        b"content-location",
        b"content-range",
        b"content-type",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"origin",
        b"range",
        b"referer",
        b"sec-websocket-key",
        b"sec-websocket-version",
    }
)
"""Fields with one value by their definition: of two, one reader takes the first and another the last."""


class Cleaning(msgspec.Struct, frozen=True):
    """Verdicts by raw field name; one dict lookup each once a name has been seen."""

    verdicts: Remembered[Verdict]

    @classmethod
    def build(cls, settings: Settings) -> Self:
        """For all routes together: what no route keeps goes, what any route's policy may set goes."""
        return cls.of(
            set_by_policy=(name for route in settings.routes for name in route.policy_headers),
            kept=(name for route in settings.routes for name in route.keep_headers),
        )

    @classmethod
    def of(cls, set_by_policy: Iterable[str] = (), kept: Iterable[str] = ()) -> Self:
        """From the names that a policy may set and the commonly believed names that are passed on all the same."""
        ours = frozenset(fold(name.encode()) for name in set_by_policy)
        believed_no_more = frozenset(fold(name.encode()) for name in kept)

        return cls(Remembered(partial(_judge, set_by_policy=ours, kept=believed_no_more)))


def _judge(name: bytes, set_by_policy: frozenset[bytes], kept: frozenset[bytes]) -> Verdict | Refusal:
    if not _TOKEN.fullmatch(name):
        return malformed("a field name that is no token")
    lower = name.lower()
    if use := _READ_HERE.get(lower):
        return (int(use), lower)
    folded = fold(name)
    if (
        b"_" in lower
        or folded in _HOP_BY_HOP
        or folded.startswith(b"proxy-")
        or is_ours(folded)
        or folded in set_by_policy
        or (is_believed(folded) and folded not in kept)
    ):
        return (DROPPED, lower)
    if use := _READ_AND_KEPT.get(lower):
        return (int(use), lower)
    return (KEPT_ONCE if lower in _SINGLE else KEPT, lower)
