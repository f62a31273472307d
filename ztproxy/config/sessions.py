"""What is kept of those who have logged in, where, and for how long."""

from typing import Self

from pydantic import Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, OutputPath, Secret


class Sessions(Section):
    """Browsers' sessions."""

    storage: str = Field(default="memory://", pattern=r"^(memory://|sqlite:.+|rediss?://.+)$")
    """memory:// (this process alone), a file as sqlite:path (the workers of a machine, over restarts), or
    redis://HOST:PORT/DB (machines; rediss:// is TLS, and needed unless the server is on loopback)."""
    password: Secret | None = None
    """Redis password."""
    timeout: Duration = 0.5
    """Longest wait for the storage; what needs it is refused then."""
    maximum: int = Field(default=65536, ge=16)
    """Sessions that memory:// and sqlite: keep; when there is no room for one more, nobody can log in until one is
    over. None that is alive is put out for a new one."""
    keys: OutputPath | None = None
    """The key ring that sessions are sealed with, mode 0600; `session.keys` below `state`, made at first start, when
    absent. Machines that share redis:// share it too, so there it has to be named and to exist."""
    idle: Duration = 3600.0
    """A session that is not used for so long is over; noticed up to a tenth of it early."""
    lifetime: Duration = 43200.0
    """A session is over after so long, however much it is used."""
    outage: Duration = 3600.0
    """How long a session whose claims have to be refreshed goes on with those that it has while its issuer cannot be
    reached."""
    bind_certificate: bool = False
    """A session counts only with the client certificate that it began with, by its fingerprint; where it began with
    none, only without one."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.idle > self.lifetime:
            raise ValueError("`idle` is longer than `lifetime`, so it would never end a session")
        return self
