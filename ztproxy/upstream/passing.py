"""Which of a request's fields are passed on to a route's upstream, by their names.

The edge has cleaned the request for all routes together. Here the same is asked again, for this route alone: what
another route keeps or its policy sets is not for this one.
"""

from collections.abc import Iterable

from ztproxy.config.believed import fold, is_believed, is_ours

FRAMING = frozenset(
    {
        b"connection",
        b"content-length",
        b"expect",  # 100 Continue is settled at the edge
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy",  # CGI takes it for a setting (CVE-2016-5385)
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields of one connection (RFC 9110 §7.6.1) and of framing: written anew, never passed on."""
_REMEMBERED = 4096


def folded(names: Iterable[str]) -> frozenset[bytes]:
    """Configured names as they are compared."""
    return frozenset(fold(name.encode("ascii")) for name in names)


def is_reserved(name: bytes) -> bool:
    """Whether a folded name is one that neither a client nor a policy may set."""
    return name in FRAMING or name.startswith(b"proxy-") or is_ours(name)


class Dropped(dict[bytes, bool]):
    """Whether a field's name, in lower case, is left out; bounded, because clients choose names.

    Args:
        set_by_policy: what a decision may set on this route.
        kept: what of the commonly believed names this route passes on.
        replaced: what this route's rules set or remove, folded.
    """

    def __init__(
        self, set_by_policy: Iterable[str], kept: Iterable[str], replaced: frozenset[bytes] = frozenset()
    ) -> None:
        super().__init__()
        self._replaced = replaced
        self._set_by_policy = folded(set_by_policy)
        self._kept = folded(kept)

    def __missing__(self, name: bytes) -> bool:
        like = fold(name)
        dropped = (
            b"_" in name
            or is_reserved(like)
            or like == b"authorization"
            or like in self._set_by_policy
            or like in self._replaced
            or (is_believed(like) and like not in self._kept)
        )
        if len(self) < _REMEMBERED:
            self[name] = dropped
        return dropped
