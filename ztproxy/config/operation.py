"""How the proxy runs and is looked after: worker processes, the admin socket, the health listener, reloads."""

import os
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ztproxy.config.section import Section
from ztproxy.config.values import AddressValue, Duration, Secret, TcpAddress, is_loopback

MOST_WORKERS = 256
Workers = Literal["auto"] | Annotated[int, Field(ge=1, le=MOST_WORKERS)]


class Admin(Section):
    """Where `ztproxy reload` and `ztproxy status` reach the running proxy; nothing listens when absent."""

    address: AddressValue
    """unix:/path, made with mode 0600 and answering our own user and root only; or HOST:PORT of loopback."""
    token: Secret | None = None
    """What whoever asks over TCP has to show as a bearer token; needed there."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if isinstance(self.address, TcpAddress):
            if not is_loopback(self.address.host):
                raise ValueError("the admin socket is on unix:/path or on loopback, by address: 127.0.0.1:PORT")
            if self.token is None:
                raise ValueError("every user of this machine reaches a TCP port: say `token`, or use unix:/path")
        elif self.token is not None:
            raise ValueError("`token` belongs to a TCP address; who may connect to a Unix socket its mode says")
        return self


class Health(Section):
    """A listener that says how the proxy is: /livez, /readyz, /metrics and nothing else, to whoever asks."""

    address: AddressValue
    """HOST:PORT or unix:/path."""


class Reload(Section):
    """When changed files are taken up without being told to."""

    watch: bool = False
    """Reload when the configuration or a file that it names (certificates, keys, authorities, revocation lists) has
    changed and is at rest again. The policy directory is taken up only with a manifest of hashes, `SHA256SUMS`,
    that all its files agree with; otherwise on SIGHUP and `ztproxy reload` alone."""
    interval: Duration = 2.0
    """Between two looks at the files."""


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(workers: Workers) -> int:
    """How many processes serve; `auto`: one for each usable core."""
    return min(usable_cores(), MOST_WORKERS) if workers == "auto" else workers
