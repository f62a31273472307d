"""The one thing that passes without the policy: a browser's bare question, on a route that lets its upstream answer.

The policy is asked about the request that may follow. Whether this is that question and nothing besides is looked at
again here, where the right to be forwarded is given.
"""

from ztproxy.model import Decision, Preflight, Reason, Refusal

LET_THROUGH = Decision(allow=True, reasons=("preflight",))
"""No policy was asked, so there is no revision."""
_QUESTION = frozenset({b"origin", b"access-control-request-method", b"access-control-request-headers"})
_NOT_BARE = Refusal(Reason.INTERNAL_ERROR, cause="more than a bare preflight was to pass without identity", close=True)


def objection(preflight: Preflight) -> Refusal | None:
    """Refuse what is more than the question: it would be a request that nobody judged."""
    arrived = preflight.arrived
    names = [name for name, _ in arrived.fields]
    if (
        arrived.method != "OPTIONS"
        or arrived.content_length != 0
        or arrived.upgrade is not None
        or arrived.unverified_authorization
        or arrived.unverified_proofs
        or not _QUESTION.issuperset(names)
        or names.count(b"origin") != 1
        or names.count(b"access-control-request-method") != 1
    ):
        return _NOT_BARE
    return None
