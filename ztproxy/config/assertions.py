"""What upstreams are told about who asks, by whom it is signed, and for whom it is meant."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, InputFile, OutputPath, Url

REGISTERED = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf", "token_issuer"})
"""Claims with a meaning of their own; no mapping writes them."""
SOURCES = (
    "token.subject",
    "token.issuer",
    "token.audience",
    "token.groups",
    "token.roles",
    "certificate.subject",
    "certificate.common_name",
    "certificate.spiffe_id",
    "certificate.issuer",
    "certificate.serial",
    "certificate.fingerprint",
    "certificate.sans.dns",
    "certificate.sans.uri",
    "certificate.sans.email",
    "certificate.sans.ip",
    "request.host",
    "request.scheme",
    "request.route",
    "source.address",
)
"""What a claim may be made of, beside `token.claims.NAME`; named as in the policy's input."""
TOKEN_CLAIM = "token.claims."  # noqa: S105 - no secret, the beginning of a source's name
_MAXIMUM_CLAIMS = 64


def _claim_name(value: str) -> str:
    if not re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]{1,128}", value):
        raise ValueError("a claim's name is visible ASCII without quotes and backslashes, at most 128 characters")
    if value in REGISTERED:
        raise ValueError(f"`{value}` has a meaning of its own in an assertion: choose another name")
    return value


def _source(value: str) -> str:
    if value in SOURCES or re.fullmatch(r"token\.claims\.[A-Za-z0-9_:./-]{1,200}", value):
        return value
    raise ValueError(f"a claim is made of token.claims.NAME, {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")


def _audience(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,256}", value):
        raise ValueError("an audience is visible ASCII, at most 256 characters")
    return value


Claims = Annotated[
    dict[Annotated[str, AfterValidator(_claim_name)], Annotated[str, AfterValidator(_source)]],
    Field(max_length=_MAXIMUM_CLAIMS),
]


class Assertion(Section):
    """The signed statement of who asks, made for upstreams."""

    key: OutputPath | None = None
    """ES256 private key, PEM; made at first start if absent. Either this or `keys`."""
    keys: OutputPath | None = None
    """Directory of such keys, for rotation (`ztproxy assertion rotate`): all are published, the newest whose time has
    come signs. The first is made at first start if absent."""
    published: tuple[InputFile, ...] = ()
    """Key sets (`ztproxy assertion keys --jwks`) of other nodes with keys of their own, published beside these."""
    issuer: Url
    lifetime: Duration = Field(default=60.0, ge=5.0, le=3600.0)
    key_cache: Duration = Field(default=300.0, ge=1.0, le=86400.0)
    """How long upstreams may keep the published keys (their Cache-Control); a new key waits longer than this."""
    claims: Claims = Field(default={})
    """Further claims and what each is made of: {email: token.claims.email, groups: token.groups}. One whose source is
    absent is left out. At most 4 KiB each and 16 KiB in all, as JSON: a request with more is refused."""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if (self.key is None) == (self.keys is None):
            raise ValueError("assertions are signed with either `key` or one of `keys`")
        return self

    @property
    def single(self) -> Path:
        """The key where there is but one."""
        if self.key is None:
            raise LookupError("assertions are signed with one of `keys`")
        return self.key


class RouteAssertion(Section):
    """What a route's upstream is told in another way than the others."""

    audience: Annotated[str, AfterValidator(_audience)] | None = None
    """Whom its assertions are for; the route's name when absent. Routes with one audience can use each other's."""
    claims: Claims | None = None
    """In place of `assertion.claims`; {} for none."""
    off: bool = False
    """Nothing signed is sent to this upstream."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.off and (self.audience is not None or self.claims is not None):
            raise ValueError("with `off: true` there is no assertion that `audience` or `claims` could be of")
        return self
