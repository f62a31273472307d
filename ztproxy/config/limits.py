"""Token buckets: what they are keyed by, how fast they fill, and where they are kept."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, RateValue, Secret


def _limit_key(value: str) -> str:
    if not re.fullmatch(
        r"source\.address|certificate\.(fingerprint|spiffe_id)|token\.subject|token\.claims\.[A-Za-z0-9_:./-]+|route",
        value,
    ):
        raise ValueError(
            "a bucket's key is source.address, certificate.fingerprint, certificate.spiffe_id, token.subject, "
            "token.claims.NAME or route"
        )
    return value


LimitKey = Annotated[str, AfterValidator(_limit_key)]


class LimitRule(Section):
    """A token bucket per value of its key."""

    key: LimitKey | tuple[LimitKey, ...]
    """What the bucket is keyed by; several keys make one combined key."""
    rate: RateValue
    burst: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Requests that may come at once; as many as the rate's number when absent."""
    shadow: bool = False
    """Counted and logged, not enforced."""
    on_failure: Literal["refuse", "local"] = "refuse"
    """While the storage is away: refuse, or an in-process bucket."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The parts of the key."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def name(self) -> str:
        """The rule's name in logs and fields."""
        return "+".join(self.keys)


class Limits(Section):
    """Token buckets for every route, and where buckets are kept."""

    storage: str = Field(default="memory://", pattern=r"^(memory://|machine://(/.+)?|rediss?://.+)$")
    """memory:// (one process), machine:// (all processes of this machine, in a file below `state`; or machine:///folder)
    or redis://host:port/db (several machines)."""
    password: Secret | None = None
    """Redis password."""
    ipv6_prefix: int = Field(default=64, ge=16, le=128)
    """IPv6 clients share a bucket by this prefix."""
    maximum_buckets: int = Field(default=65536, ge=16)
    """Of memory:// and machine://; when none is full again new keys are refused."""
    timeout: Duration = 0.25
    """Longest wait for redis, or for a process that holds machine://."""
    rules: tuple[LimitRule, ...] = ()
