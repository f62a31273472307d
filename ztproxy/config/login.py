"""How browsers log in at an issuer."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from ztproxy.config.clients import OAuthClient
from ztproxy.config.values import Duration, parse_host_pattern

_OURS = frozenset(
    {
        "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
        "code_challenge_method", "prompt", "max_age", "acr_values", "id_token_hint", "login_hint", "request",
        "request_uri", "claims", "dpop_jkt",
    }
)  # fmt: skip
"""What an authorization request says by itself."""


def _host(value: str) -> str:
    host, _, port = value.partition(":")
    if parse_host_pattern(host) != host or "*" in host or (port and not re.fullmatch(r"[1-9][0-9]{0,4}", port)):
        raise ValueError("a login host is one exact name in lower case, with its port where that is not 443")
    return host if port == "443" else value


def _word(value: str) -> str:
    if not re.fullmatch(r"[!#-\[\]-~]{1,256}", value):
        raise ValueError("a word of printable ASCII, without spaces and quotes")
    return value


def _parameters(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name) or name in _OURS:
            raise ValueError(f"`{name}` is no parameter to add" + ("; ztproxy says it itself" if name in _OURS else ""))
    return value


LoginHost = Annotated[
    str, AfterValidator(_host), WithJsonSchema({"type": "string", "examples": ["login.corp.example"]})
]
Word = Annotated[str, AfterValidator(_word), WithJsonSchema({"type": "string", "pattern": "^[!-~]+$"})]


class Login(OAuthClient):
    """Single sign-on at one issuer, by authorization code (OpenID Connect Core 1.0 §3.1) with PKCE (RFC 7636)."""

    issuer: str
    """One of `issuers`."""
    scopes: tuple[Word, ...] = ("openid", "profile", "email")
    """What is asked for; `openid` is among them. `offline_access` gets a refresh token from most issuers."""
    host: LoginHost | None = None
    """One host of a route with this `login`, where everybody logs in; each application's host gets a session of its
    own from there. The issuer then needs to know this host's addresses alone. None: each host logs in by itself."""
    prompt: Literal["login", "consent", "select_account"] | None = None
    """What the issuer does at each login even where it knows the person: asks anew, asks for consent, or which account
    it is to be."""
    another_account: Literal["login", "select_account"] | None = None
    """How the issuer is asked to let somebody be another: to log in anew, or to choose an account. Absent:
    `select_account` where the issuer says that it knows it, else `login`, which all have to know."""
    max_age: Duration | None = None
    """How long ago a person may have proved at the issuer who they are; whole seconds."""
    acr_values: tuple[Word, ...] = ()
    """How strong a login must be: the ID token's `acr` is one of these. Empty: any will do."""
    userinfo: bool = False
    """Ask the issuer's userinfo endpoint for claims beside those of the ID token."""
    parameters: Annotated[dict[str, str], AfterValidator(_parameters)] = Field(default_factory=dict)
    """Further parameters of the request to the issuer: {kc_idp_hint: corp}, {domain_hint: corp.example}."""
    end_issuer_session: bool = True
    """Who signs out here signs out at the issuer too, where it has a place for that (RP-initiated logout)."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if "openid" not in self.scopes:
            raise ValueError("`scopes` without `openid` asks for no ID token, so nobody would be known")
        if self.max_age is not None and (self.max_age < 1 or self.max_age % 1):
            raise ValueError("`max_age` is said in whole seconds, at least one")
        return self
