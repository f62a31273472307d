"""Tokens that count only together with what they are bound to, and proofs of possession (DPoP, RFC 9449)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Algorithm, Duration, Secret

Binding = Literal["none", "any", "certificate", "dpop", "both"]
LONGEST = 3600.0
"""Seconds that a proof may count at most: it is made for one request, a moment before it."""


class Dpop(Section):
    """Proofs of possession (DPoP, RFC 9449).

    Without this section the scheme DPoP is not understood, and tokens that are bound by `cnf.jkt` count nowhere.
    """

    algorithms: tuple[Algorithm, ...] = Field(default=("ES256", "EdDSA", "PS256", "RS256"), min_length=1)
    """What proofs may be signed with; clients are told in `WWW-Authenticate`."""
    maximum_age: Duration = 60.0
    """How old a proof may be, by its `iat`; at most 1h."""
    leeway: Duration = 5.0
    """How far a client's clock may be ahead."""
    nonce: Literal["off", "required"] = "off"
    """required: a proof holds a nonce that we gave out (`DPoP-Nonce`), so that none can be made in store for later."""
    nonce_rotation: Duration = 300.0
    """After which time another nonce is given out; the one before it still counts."""
    secret: Secret | None = None
    """What nonces are made with, 16 octets or more, the same on all machines; a file in `state` when absent."""
    replay: str = Field(default="memory://", pattern=r"^(memory://|machine://(/.+)?|rediss?://.+)$")
    """Where it is noted which proofs were used: memory:// (one process), machine:// (all processes of this machine, in
    a file below `state`; or machine:///folder) or rediss://host:port/db (several machines; redis:// on loopback only).
    While it is away or full, proofs are refused with `proof-store-unavailable`."""
    password: Secret | None = None
    """Redis password."""
    timeout: Duration = 0.25
    """Longest wait for redis, or for a process that holds machine://."""
    maximum_proofs: int = Field(default=262_144, ge=16)
    """Of memory:// and machine://; each is kept for `maximum_age` and `leeway` together."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.maximum_age > LONGEST or self.leeway > LONGEST:
            raise ValueError("`maximum_age` and `leeway` are at most 1h: a proof is made a moment before its request")
        if self.nonce == "off" and self.model_fields_set & {"secret", "nonce_rotation"}:
            raise ValueError("`secret` and `nonce_rotation` are for nonces: say `nonce: required` too")
        return self

    @property
    def lasting(self) -> float:
        """Seconds from the first to the last moment at which a proof can be used."""
        return self.maximum_age + self.leeway
