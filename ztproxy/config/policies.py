"""Which policy decides, what evaluates it, and what is remembered of its decisions."""

from typing import Literal

from pydantic import Field

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, InputDirectory, InputFile, Secret


class PolicyServer(Section):
    """An OPA server, for `engine: server`."""

    url: str = "http://127.0.0.1:8181"
    """http(s)://HOST:PORT; plain http on loopback only."""
    authorities: tuple[InputFile, ...] = ()
    token: Secret | None = None
    """Bearer token that OPA's own authorization demands."""


class PolicyMemo(Section):
    """Decisions that are remembered, each under all that it rests on; none with `engine: server`."""

    entries: int = Field(default=8192, ge=16, le=1_000_000)
    """How many. Those asked for again stay longest."""
    maximum_age: Duration = 10.0
    """How long at most; a decision's own `max_age`, its token and its certificate may end it before."""


class PolicySettings(Section):
    """Which policy decides, and what evaluates it."""

    path: InputDirectory | None = None
    """Directory of Rego and data files; `--policy` overrides it."""
    engine: Literal["embedded", "server"] = "embedded"
    entrypoint: str = Field(
        default="ztproxy/authz/decision", pattern=r"^[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*$"
    )
    deadline: Duration = 0.05
    """A decision that takes longer is refused."""
    clock_step: Duration = Field(default=1.0, gt=0)
    """time.now_ns() moves in steps of this, so that what rests on it can be remembered; `engine: embedded` only."""
    memo: PolicyMemo | Literal["off"] = PolicyMemo()
    """What is remembered, or `off`: each request is decided anew."""
    show_reasons: bool = False
    """May the refused see the policy's reasons?"""
    allow_builtins: tuple[str, ...] = ()
    """Builtins that reach outside (http.send, ...) and are compile errors unless named here."""
    server: PolicyServer = PolicyServer()
