"""What is kept of those who have logged in, where, and for how long."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import Duration, InputFile, OutputPath, Secret, from_base, is_loopback

_SQLITE = "sqlite:"


def _storage(value: str, info: ValidationInfo) -> str:
    """One of the three kinds; a file's path counts from the configuration's own folder."""
    if value == "memory://":
        return value
    if value.startswith(_SQLITE) and (path := value.removeprefix(_SQLITE)) and not path.startswith("//"):
        return _SQLITE + str(from_base(Path(path), info))
    url = urlsplit(value)
    if url.scheme not in ("redis", "rediss") or not url.hostname:
        raise ValueError("sessions are kept in memory://, sqlite:PATH, redis://HOST:PORT/DB or rediss://HOST:PORT/DB")
    if url.password or url.query or url.fragment:
        raise ValueError("a redis:// URL has no query, and its password stands in `sessions.password`")
    if url.scheme == "redis" and not is_loopback(url.hostname):
        raise ValueError("redis:// on a loopback address only: what is kept there says who somebody is; use rediss://")
    return value


Storage = Annotated[
    str,
    AfterValidator(_storage),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(memory://|sqlite:.+|rediss?://.+)$",
            "examples": ["memory://", "sqlite:var/sessions.db", "rediss://redis.corp.example:6380/0"],
        }
    ),
]


class Sessions(Section):
    """Browsers' sessions."""

    storage: Storage = "memory://"
    """memory:// (this process alone), a file as sqlite:path (the workers of a machine, over restarts), or
    redis://HOST:PORT/DB (machines; rediss:// is TLS, and needed unless the server is on loopback)."""
    password: Secret | None = None
    """Redis password."""
    authorities: tuple[InputFile, ...] = ()
    """PEM files to verify the certificate of rediss:// with; the system's trust when absent."""
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
        if self.password is not None and not self.of_machines:
            raise ValueError("`password` belongs to redis://")
        if self.authorities and not self.storage.startswith("rediss:"):
            raise ValueError("`authorities` verify the certificate of a rediss:// server")
        if self.of_machines and self.keys is None:
            raise ValueError(
                "machines that share sessions share one key ring: name its file with `keys` "
                "(`ztproxy sessions rotate --keys FILE` makes one)"
            )
        return self

    @property
    def place(self) -> tuple[object, ...]:
        """What says where sessions are kept."""
        return self.storage, self.password, self.authorities, self.timeout, self.maximum

    def ring(self, state: Path) -> Path:
        """The key ring's file."""
        return self.keys or state / "session.keys"

    @property
    def of_machines(self) -> bool:
        """Whether several machines share them."""
        return self.storage.startswith("redis")

    @property
    def file(self) -> Path | None:
        """The SQLite file, if that is where they are."""
        return Path(self.storage.removeprefix(_SQLITE)) if self.storage.startswith(_SQLITE) else None
