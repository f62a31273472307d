"""The shape of `spiffe`: who we are among workloads, and whose word counts about the others."""

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, model_validator

from ztproxy.config.section import Section
from ztproxy.config.spiffe_ids import TrustDomain, WorkloadId, trust_domain_of
from ztproxy.config.values import Duration


def _there(path: Path, info: ValidationInfo) -> Path:
    """A file that must be there; who looks at it again is `spiffe` itself, not `reload.watch`."""
    found = Path(info.context["base"], path) if info.context else path
    if not found.is_file():
        raise ValueError(f"{found}: " + ("is not a file" if found.exists() else "no such file"))
    return found


def _socket(value: str) -> str:
    found = re.fullmatch(r"unix:(?://)?(/[^\0?#]+)", value)
    if found is None:
        raise ValueError("the Workload API is at unix:/absolute/path")
    return f"unix:{found[1]}"


SvidFile = Annotated[Path, AfterValidator(_there)]
Endpoint = Annotated[
    str,
    AfterValidator(_socket),
    WithJsonSchema({"type": "string", "examples": ["unix:/run/spire/agent.sock"]}),
]


class SvidFiles(Section):
    """Our own X509-SVID in files, which somebody renews in time."""

    certificate: SvidFile
    """PEM: the certificate, followed by its intermediates."""
    key: SvidFile
    """PEM: its private key, unencrypted, readable by nobody else."""


class Federated(Section):
    """Another trust domain whose workloads we know."""

    trust_domain: TrustDomain
    bundle: SvidFile | None = None
    """PEM or SPIFFE bundle (JSON); with `workload_api` it comes from there."""


class Spiffe(Section):
    """Workload identity (SPIFFE).

    What is renewed, in its files or at the Workload API, is taken up by all workers at once: new handshakes use it, and
    open connections go on as long as the new bundles vouch for them.
    """

    trust_domain: TrustDomain
    """Ours; our own X509-SVID is of it."""
    svid: SvidFiles | None = None
    """Shown where `svid: true` says so."""
    bundle: SvidFile | None = None
    """Our trust domain's: PEM certificates, or a SPIFFE bundle (JSON), which holds the keys of JWT-SVIDs as well."""
    workload_api: Endpoint | None = None
    """In place of `svid` and `bundle`: where an agent hands out both. Needs `pip install ztproxy[spiffe]`."""
    spiffe_id: WorkloadId | None = None
    """Which of several SVIDs of the Workload API is ours; the first when absent."""
    federated: tuple[Federated, ...] = ()
    """Others whose bundles count, each for the IDs of its own trust domain alone. What the Workload API says of domains
    that are not named here is not looked at."""
    start_timeout: Duration = 30.0
    """How long the start waits for the Workload API's first answer."""
    interval: Annotated[Duration, Field(ge=0.1)] = 5.0
    """Between two looks at the files."""

    @property
    def trust_domains(self) -> tuple[str, ...]:
        """All that are known, ours first."""
        return self.trust_domain, *(one.trust_domain for one in self.federated)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.bundle is None) == (self.workload_api is None):
            raise ValueError("trust comes either from files (`bundle`, and `svid`) or from `workload_api`")
        if self.workload_api is not None and self.svid is not None:
            raise ValueError("with `workload_api` there are no `svid` files: it hands out the SVID too")
        if self.spiffe_id is not None and self.workload_api is None:
            raise ValueError("`spiffe_id` chooses among the SVIDs of `workload_api`; files hold one")
        if self.spiffe_id is not None and trust_domain_of(self.spiffe_id) != self.trust_domain:
            raise ValueError(f"`spiffe_id` is not of the trust domain {self.trust_domain}")
        if len(set(self.trust_domains)) < len(self.trust_domains):
            raise ValueError("a trust domain is named twice")
        for one in self.federated:
            if (one.bundle is None) == (self.workload_api is None):
                raise ValueError(
                    f"{one.trust_domain}: a federated trust domain needs a `bundle`"
                    if one.bundle is None
                    else f"{one.trust_domain}: with `workload_api` its bundle comes from there, not from a file"
                )
        return self
