"""A query as the policy sees it: decoded as a form, refused where two decoders could read it differently."""

import re
from urllib.parse import unquote_to_bytes

from ztproxy.model import Reason, Refusal

MAXIMUM_PARAMETERS = 1000
"""Query parameters; a request with more is refused, for a document without some of them would lie."""
# RFC 6750 §2.3 and what clients put beside it: never a credential here, and no less one for those who can use it.
_CREDENTIAL_PARAMETERS = frozenset(
    {"access_token", "api_key", "apikey", "client_secret", "id_token", "password", "refresh_token"}
)


def decode_query(query: str) -> dict[str, list[str]] | Refusal:
    """The query as a form (WHATWG URL §5.1): values by name, both in order; blank values stay, `;` separates nothing.

    Parameters that carry credentials are left out, as such fields are. Where the WHATWG's decoder mends (a bare percent
    sign, octets that are no UTF-8) others do it differently: refused.
    """
    if query.count("&") >= MAXIMUM_PARAMETERS:
        return Refusal(Reason.REQUEST_TOO_LARGE, f"More than {MAXIMUM_PARAMETERS} query parameters.", status_code=431)
    if "%" in query and re.search("%(?![0-9A-Fa-f]{2})", query):
        return Refusal(Reason.REQUEST_AMBIGUOUS, "The query has a percent sign that begins no escape.")
    parameters: dict[str, list[str]] = {}
    try:
        for parameter in query.split("&"):
            if parameter:
                raw, _, value = parameter.partition("=")
                name = _unquoted(raw)
                if name.lower() not in _CREDENTIAL_PARAMETERS:
                    parameters.setdefault(name, []).append(_unquoted(value))
    except UnicodeDecodeError:
        return Refusal(Reason.REQUEST_AMBIGUOUS, "The query's escapes are no UTF-8.")
    return parameters


def _unquoted(text: str) -> str:
    text = text.replace("+", " ")
    return unquote_to_bytes(text).decode("utf-8", "strict") if "%" in text else text
