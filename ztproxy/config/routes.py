"""What is published where, what it demands, and what the route itself does with a request."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ztproxy.config.assertions import RouteAssertion
from ztproxy.config.cross_origin import Cors
from ztproxy.config.dpop import Binding
from ztproxy.config.header_rules import HeaderRules, folded
from ztproxy.config.limits import LimitRule
from ztproxy.config.moving import Redirect, Rewrite
from ztproxy.config.section import Section
from ztproxy.config.sizes import Size
from ztproxy.config.spiffe_ids import SpiffePattern
from ztproxy.config.streams import WEBSOCKET, Streams, UpgradeName
from ztproxy.config.token_exchange import TokenExchange
from ztproxy.config.upstreams import Upstream
from ztproxy.config.values import FieldName, HostPattern, InputFile, PathPrefix

Demand = Literal["certificate", "token"]


class Route(Section):
    """What is published where, and what it demands."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    hosts: tuple[HostPattern, ...] = Field(min_length=1)
    """Exact names, *.example.com (one or more labels), or "*"."""
    paths: tuple[PathPrefix, ...] = Field(default=("/",), min_length=1)
    """Whole segments: /api/ covers /api/x, and /api too only when written /api. The longest wins."""
    issuers: tuple[str, ...] | None = None
    """Whose tokens count here; must be said once several issuers are configured."""
    login: str | None = None
    """The issuer that browsers log in at (one of `login`); their sessions count as tokens of it. None: sessions do not
    count here."""
    authorities: tuple[InputFile, ...] | None = None
    """Whose certificates count here; must be said once several authorities are configured."""
    spiffe_ids: tuple[SpiffePattern, ...] | None = None
    """Which workloads count here, by the SPIFFE ID in their X509-SVID or JWT-SVID: * stands for one segment, /** at the
    end for one or more. Must be said once several trust domains, or authorities beside one, are configured."""
    listeners: tuple[str, ...] | None = None
    """Names or addresses of the listeners that it is published on; all when absent."""
    require: tuple[Demand, ...]
    """Demanded before the policy is asked; [] is written out where the policy alone decides."""
    binding: Binding = "none"
    """What tokens have to be bound to here, whoever issued them; see `issuers[].binding`."""
    limits: tuple[LimitRule, ...] = ()
    maximum_body: Size | None = None
    """Content of a request, in place of `requests.maximum_body`."""
    upstream: Upstream | None = None
    redirect: Redirect | None = None
    rewrite: Rewrite | None = None
    headers: HeaderRules = HeaderRules()
    cors: Cors | None = None
    upgrades: tuple[UpgradeName, ...] = (WEBSOCKET,)
    """Protocols that a request may switch to; h2c is never one."""
    streams: Streams = Streams()
    assertion: RouteAssertion = RouteAssertion()
    token_exchange: TokenExchange | None = None
    forward_token: bool = False
    """Pass the verified bearer token on to the upstream."""
    policy_headers: tuple[FieldName, ...] = ()
    """Names that a decision's `headers` may set; always stripped from the client's request."""
    keep_headers: tuple[FieldName, ...] = ()
    """Names out of the list of what upstreams commonly believe that are passed on from the client all the same."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if (self.upstream is None) == (self.redirect is None):
            raise ValueError("a route has either an `upstream` or a `redirect`")
        if self.redirect is not None and self.rewrite is not None:
            raise ValueError("`rewrite` is for an upstream; a `redirect` names its own path")
        if self.rewrite is not None:
            for path in self.paths:
                if not self.rewrite.covers(path):
                    raise ValueError(f"`rewrite.prefix` {self.rewrite.prefix} does not cover the route's path {path}")
        return self

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.token_exchange is None:
            return self
        if self.forward_token:
            raise ValueError("`forward_token` passes the caller's token on, `token_exchange` another in its place")
        if "token" not in self.require:
            raise ValueError("`token_exchange` needs a token of each caller: say it in `require`")
        if self.redirect is not None:
            raise ValueError("`token_exchange` is for an upstream")
        if b"authorization" in folded(self.policy_headers):
            raise ValueError("`policy_headers` names Authorization, which `token_exchange` sets")
        return self

    @model_validator(mode="after")
    def _each_header_from_one(self) -> Self:
        ours = folded((*self.headers.request.set, *self.headers.request.add, *self.headers.request.remove))
        if both := sorted(name for name in self.policy_headers if folded([name]) & ours):
            raise ValueError(f"{', '.join(both)}: set by the policy, so not by `headers.request`")
        sticky = self.upstream is not None and self.upstream.sticky is not None
        if sticky and b"set-cookie" in self.headers.response.replaced:
            raise ValueError("`headers.response` removes Set-Cookie, and with it the cookie of `upstream.sticky`")
        return self

    @property
    def served_by(self) -> Upstream:
        """The upstream of a route that forwards; nothing else asks."""
        if self.upstream is None:
            raise LookupError(f"route {self.name} redirects")
        return self.upstream
