"""The edge's refusals of what cannot be read, or can be read in two ways. All of them end the connection."""

from ztproxy.model import Reason, Refusal

HEADER_FIELDS_TOO_LARGE = 431
URI_TOO_LONG = 414
TOO_MUCH = Refusal(Reason.REQUEST_TOO_LARGE, "the request's content is larger than allowed here")


def malformed(detail: str, status: int = 0) -> Refusal:
    """This is not HTTP, or not HTTP that a gateway may take."""
    return Refusal(Reason.REQUEST_MALFORMED, detail, status_code=status, close=True)


def ambiguous(detail: str) -> Refusal:
    """Two parsers could read this differently (CWE-436, CWE-444)."""
    return Refusal(Reason.REQUEST_AMBIGUOUS, detail, close=True)


def too_large(detail: str, status: int = HEADER_FIELDS_TOO_LARGE) -> Refusal:
    """More than we take: 431 for fields, 414 for the target (RFC 6585 §5, RFC 9110 §15.5.15)."""
    return Refusal(Reason.REQUEST_TOO_LARGE, detail, status_code=status, close=True)
