"""Why a TLS handshake, or the PROXY header before it, did not come about: few enough words for a metric's label."""

import re

COMPLETED = "completed"
_OUTCOMES: tuple[tuple[str, str], ...] = (
    ("proxy-header", r"PROXY"),
    ("timed-out", r"took too long"),
    ("client-gone", r"closed the connection|connection was lost"),
    ("resumed", r"resumed a session"),
    ("certificate-missing", r"peer did not return a certificate"),
    ("certificate-expired", r"certificate has expired|certificate is not yet valid"),
    ("certificate-untrusted", r"issuer certificate|self.signed certificate|certificate signature failure"),
    ("certificate-unfit", r"certificate verify failed"),
    ("refused-by-client", r"alert"),
    ("no-common-ground", r"unsupported protocol|no shared|no suitable|wrong version|version too low|no protocols"),
    (
        "not-tls",
        r"http request|https proxy request|wrong ssl version|record layer failure|packet length|unexpected message",
    ),
)
"""Outcome, and what OpenSSL's reason holds; the first that fits."""
OTHER = "other"
OUTCOMES = (COMPLETED, *(outcome for outcome, _ in _OUTCOMES), OTHER)


def outcome_of(cause: str) -> str:
    """The outcome for a cause as the access log has it."""
    for outcome, pattern in _OUTCOMES:
        if re.search(pattern, cause):
            return outcome
    return OTHER
