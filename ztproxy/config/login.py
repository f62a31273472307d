"""How browsers log in at an issuer."""

from pydantic import Field

from ztproxy.config.section import Section


class Login(Section):
    """Single sign-on at one issuer, by authorization code (OpenID Connect Core 1.0 §3.1)."""

    issuer: str
    """One of `issuers`."""
    client_id: str = Field(min_length=1, max_length=256)
    """What the issuer knows ztproxy as."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    """What is asked for; `openid` is among them. `offline_access` gets a refresh token from most issuers."""
