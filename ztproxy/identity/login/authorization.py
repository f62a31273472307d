"""What is asked of the issuer for a login, and what it answers by way of the browser.

The request: OpenID Connect Core 1.0 §3.1.2.1, RFC 7636 §4.3. The answer: §3.1.2.5, RFC 6749 §4.1.2, RFC 9207.
"""

import hmac
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from ztproxy.config.login import Login
from ztproxy.identity.login.transaction import Transaction
from ztproxy.identity.metadata import Metadata

CALLBACK = "/.well-known/ztproxy/callback"
"""Where the issuer sends the browser back to, on the host that it came from."""
MAXIMUM_CODE = 4096
_MAXIMUM_QUERY = 16384
_ERROR = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]{1,128}")
"""RFC 6749 §4.1.2.1."""


def request_url(
    endpoint: str, login: Login, transaction: Transaction, prompt: str | None = None, login_hint: str | None = None
) -> str:
    """Where the browser goes to log in.

    Args:
        endpoint: the issuer's authorization endpoint.
        login: as configured.
        transaction: the login that this begins.
        prompt: what the issuer shall ask, in place of what is configured.
        login_hint: who is expected.
    """
    wanted = transaction.wanted
    url: str = prepare_grant_uri(
        endpoint,
        login.client_id,
        "code",
        redirect_uri=redirect_uri(transaction.host),
        scope=" ".join(login.scopes),
        state=transaction.state,
        nonce=transaction.nonce,
        code_challenge=create_s256_code_challenge(transaction.verifier),
        code_challenge_method="S256",
        prompt=prompt or login.prompt,
        max_age=None if wanted.max_age is None else str(wanted.max_age),
        acr_values=" ".join(wanted.acr_values) or None,
        login_hint=login_hint,
    )
    further: str = add_params_to_uri(url, list(login.parameters.items())) if login.parameters else url
    return further


def redirect_uri(host: str) -> str:
    """Where the issuer sends the answer for a host: registered there, to the letter."""
    return f"https://{host}{CALLBACK}"


class Returned(msgspec.Struct, frozen=True):
    """What the browser brought back. Nothing of it is believed yet: anybody can write such an address."""

    state: str
    parameters: Mapping[str, str]


class Denied(msgspec.Struct, frozen=True):
    """The issuer does not log this person in; `error` is its word for why, or ours."""

    error: str
    cause: str


def read_query(query: str) -> Returned | None:
    """The answer in a query; None where it is none, or a parameter stands in it twice (RFC 6749 §3.1)."""
    if len(query) > _MAXIMUM_QUERY:
        return None
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=32)
    except ValueError:
        return None
    parameters = dict(pairs)
    state = parameters.get("state", "")
    if len(parameters) != len(pairs) or not re.fullmatch(r"[A-Za-z0-9_-]{43}", state):
        return None
    return Returned(state, parameters)


def code_of(returned: Returned, transaction: Transaction, metadata: Metadata) -> str | Denied:
    """The code that the answer brings, if it is the right issuer's.

    `iss` must name the issuer that the browser was sent to, and be there where the issuer always names itself: else an
    answer of one issuer could be taken for another's (mix-up, RFC 9207 §2.4).
    """
    said = returned.parameters
    named = said.get("iss")
    if named is None and metadata.authorization_response_iss_parameter_supported:
        return Denied("invalid_response", "the answer does not name its issuer, which names itself always")
    if named is not None and not hmac.compare_digest(named.encode(), transaction.issuer.encode()):
        return Denied("invalid_response", "the answer names another issuer")
    if "error" in said:
        error = said["error"] if _ERROR.fullmatch(said["error"]) else "unreadable"
        return Denied(error, f"the issuer answered {error}: {printable(said.get('error_description', ''))}")
    code = said.get("code", "")
    if not re.fullmatch(rf"[\x20-\x7e]{{1,{MAXIMUM_CODE}}}", code):
        return Denied("invalid_response", "the answer has no code")
    return code


def printable(text: str) -> str:
    """What an issuer said, for the operator's log: short, and of one line."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:256]
