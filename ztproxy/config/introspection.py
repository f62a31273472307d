"""Asking an issuer about tokens (RFC 7662)."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from ztproxy.config.clients import OAuthClient
from ztproxy.config.values import Duration

LONGEST_CACHE = 3600.0
LONGEST_TIMEOUT = 30.0
"""Seconds."""


def _https(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.fragment:
        raise ValueError("an endpoint is https://host[:port]/path, without user and fragment")
    return value


class Introspection(OAuthClient):
    """The issuer is asked whether a token is good: for tokens that cannot be verified here, or for all of its own."""

    endpoint: Annotated[str, AfterValidator(_https)] | None = None
    """Where it is asked; as its discovery document says when absent."""
    tokens: Literal["opaque", "all"] = "opaque"
    """opaque: about tokens that are no signed ones. all: about signed ones too, once their signature has verified."""
    verify_signatures: bool = True
    """false, with `tokens: all`: the issuer's keys are never asked for, its word on each token is all there is."""
    cache: Duration = 30.0
    """How long its word counts: so late may a revoked token be noticed. Never longer than the token lives."""
    timeout: Duration = 5.0
    """For a question in all; then `introspection-unavailable`."""
    maximum_in_flight: int = Field(default=32, ge=1, le=1024)
    """Questions under way at once, in each worker; others wait for their turn within `timeout`."""
    client_as_subject: bool = False
    """A token without `sub` (client credentials) is that of its `client_id`. Only for issuers that name no user as
    some client is named: else that client could pose as the user."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if not 0 < self.cache <= LONGEST_CACHE:
            raise ValueError("`cache` is over 0s and at most 1h: a revoked token goes on counting for so long")
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise ValueError("`timeout` is over 0s and at most 30s")
        if not self.verify_signatures and self.tokens != "all":
            raise ValueError("`verify_signatures: false` goes with `tokens: all`: something has to be verified")
        return self
