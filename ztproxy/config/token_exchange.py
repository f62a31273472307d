"""Exchanging the caller's token for one that an upstream takes (RFC 8693)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ztproxy.config.clients import OAuthClient
from ztproxy.config.values import Duration, Url

Name = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""RFC 6749 appendix A.4, and what an audience is called."""


def _https(value: str) -> str:
    if not value.startswith("https://"):
        raise ValueError("tokens are exchanged over https only")
    return value


class TokenExchange(OAuthClient):
    """The caller's token is exchanged at the issuer for one that goes to the upstream, in its place or not at all."""

    issuer: str | None = None
    """Whose token endpoint exchanges, one of `issuers`; the route's only one when absent."""
    token_endpoint: Annotated[Url, AfterValidator(_https)] | None = None
    """Where it is; as the issuer's discovery document says when absent."""
    audience: tuple[Name, ...] = Field(default=(), max_length=16)
    """Whom the token is to be for, as the issuer calls them."""
    resource: tuple[Url, ...] = Field(default=(), max_length=16)
    """Whom it is to be for, as URLs (RFC 8707)."""
    scope: tuple[Name, ...] = Field(default=(), max_length=64)
    """What it is to be good for; whatever the issuer finds right when absent."""
    requested_token_type: Literal["access_token", "jwt"] = "access_token"  # noqa: S105 - no secret
    """What is asked for; anything else that is issued is refused."""
    timeout: Duration = Field(default=5.0, le=60.0)
    """Longest wait for the issuer."""
    maximum_age: Duration = Field(default=300.0, le=3600.0)
    """How long a token is used at most; its own end and the end of the caller's token may come before."""
    maximum: int = Field(default=64, ge=1, le=1024)
    """Exchanges under way at once, in each process; further callers are refused for now."""
