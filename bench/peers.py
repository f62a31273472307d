"""The rows of the benchmark: what each starts, and what it is asked."""

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import build
import installed
from measure import CONTENTS
from processes import BOTH_CORES, PROXY_CORE, Program, free_port

CONFIGS = pathlib.Path(__file__).parent / "configs"
# Go's collector is given as much room as embedded OPA has; on Envoy's side it made no difference that shows.
OPA_ENVIRONMENT = {"GOGC": "800"}
COMMON = frozenset({"handshakes", "idle"})
EVERYTHING = COMMON | {"browser", "bodies"}
BODY = 800  # bytes of each answer; the load generator expects as many


@dataclass(frozen=True)
class Site:
    """What all rows of a run share: its folder, the backend's port and the issuer's URL."""

    run: pathlib.Path
    backend: int
    issuer: str
    kind: installed.Kind = "compiled"
    """Which ztproxy is run."""

    @property
    def ztproxy(self) -> installed.Installed:
        """Built when first asked for. Raises `build.BuildFailed`."""
        return installed.ztproxy(self.kind)

    def written(self, template: str, name: str, **values: object) -> str:
        """Fill in a template of configs/ and write it into the run's folder."""
        path = self.run / name
        path.write_text(self.filled(template, **values))
        return str(path)

    def filled(self, template: str, **values: object) -> str:
        """Fill in `@key@` in a template of configs/."""
        text = (CONFIGS / template).read_text()
        given = {"run": self.run, "backend": self.backend, "issuer": self.issuer, "more": "", "route": "", **values}
        for key, value in given.items():
            text = text.replace(f"@{key}@", str(value))
        return text


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    programs: Callable[[Site, int], Sequence[Program]]  # given the port that the load will connect to
    builds: Sequence[Callable[[], object]]  # of peers, done before anything is measured
    whole_job: bool = False  # verifies the token and asks the policy; bench/refusals.py proves it
    unique: bool = True  # each request asks for another path, so that no decision is remembered
    parts: frozenset[str] = COMMON  # what is measured beside load
    cores: str = PROXY_CORE
    proven: bool = False  # each request proves the key that its token is bound to
    session: bool = False  # requests show a session's cookie in place of a token

    @property
    def ours(self) -> bool:
        """Whether ztproxy runs in it."""
        return self.name.startswith("ztproxy")

    def prepare(self, site: Site) -> None:
        """Build or find what it needs. Raises `build.BuildFailed`."""
        for needed in self.builds:
            needed()
        if self.ours:
            _ = site.ztproxy

    def heading(self, site: Site) -> str:
        """Say what it is, and of ztproxy how it was built."""
        return f"{self.title} ({site.ztproxy})" if self.ours else self.title


def _nginx(site: Site, port: int) -> Sequence[Program]:
    written = site.written("nginx.conf", "nginx.conf", port=port)
    return [Program("nginx", [str(build.nginx()), "-p", str(site.run), "-e", "stderr", "-c", written], port)]


def _envoy(site: Site, port: int, filters: str = "", access_log: str = "[]") -> Program:
    written = site.written("envoy.yaml", "envoy.yaml", port=port, filters=filters, access_log=access_log)
    options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return Program("envoy", [str(build.envoy()), "-c", written, *options], port)


def _bare_envoy(site: Site, port: int) -> Sequence[Program]:
    return [_envoy(site, port)]


def _envoy_opa(site: Site, port: int) -> Sequence[Program]:
    configuration = site.written("opa-envoy.yaml", "opa-envoy.yaml")
    command = [
        *(str(build.opa_envoy()), "run", "--server", "--addr", f"127.0.0.1:{free_port()}", "--disable-telemetry"),
        *("--log-level", "error", "--config-file", configuration, str(site.run / "policies" / "envoy")),
    ]
    filters = site.filled("envoy-filters.yaml")
    log = site.filled("envoy-access-log.yaml").strip()
    return [
        Program("opa-envoy", command, site.run / "opa-envoy.sock", OPA_ENVIRONMENT),
        _envoy(site, port, filters, log),
    ]


def _ztproxy(site: Site, template: str, port: int, *options: str, **values: object) -> Program:
    written = site.written(template, template, port=port, **values)
    command = [str(site.ztproxy.command), "run", "--config", written, *options]
    return Program("ztproxy", command, port, {"OPENSSL_CONF": str(CONFIGS / "openssl.cnf")})


def whole_job(
    site: Site, port: int, *options: str, storage: str = "memory://", more: str = "", route: str = ""
) -> Sequence[Program]:
    """Give ztproxy with the embedded engine."""
    values = {"engine": "embedded", "opa": 1, "storage": storage, "more": more, "route": route}
    return [_ztproxy(site, "ztproxy.yaml", port, *options, **values)]


def _machine(site: Site, port: int) -> Sequence[Program]:
    return whole_job(site, port, storage="machine://")


def _proofs(site: Site, port: int) -> Sequence[Program]:
    return whole_job(site, port, more="dpop: {}")


def _proofs_machine(site: Site, port: int) -> Sequence[Program]:
    return whole_job(site, port, storage="machine://", more="dpop: {replay: 'machine://'}")


def _sessions(site: Site, port: int) -> Sequence[Program]:
    import logins  # noqa: PLC0415 - needs ztproxy's own modules, which no other row does

    logins.begin(site.run, site.issuer)
    return whole_job(site, port, more=logins.section(site.run, site.issuer), route=f"    login: {site.issuer}")


def _two_workers(site: Site, port: int) -> Sequence[Program]:
    return whole_job(site, port, "--workers", "2", storage="machine://")


def _ztproxy_server(site: Site, port: int) -> Sequence[Program]:
    opa = free_port()
    command = [
        *(str(build.opa()), "run", "--server", "--addr", f"127.0.0.1:{opa}", "--disable-telemetry"),
        *("--log-level", "error", str(site.run / "policies" / "ztproxy")),
    ]
    return [
        Program("opa", command, opa, OPA_ENVIRONMENT),
        _ztproxy(site, "ztproxy.yaml", port, engine="server", opa=opa, storage="memory://"),
    ]


def _ztproxy_forward(site: Site, port: int) -> Sequence[Program]:
    return [_ztproxy(site, "ztproxy-forward.yaml", port)]


ROWS = (
    Row("nginx", "nginx: mTLS, forwards and nothing else", _nginx, (build.nginx,), parts=EVERYTHING),
    Row("envoy", "Envoy: the same", _bare_envoy, (build.envoy,), parts=EVERYTHING),
    Row("envoy-opa", "Envoy + OPA: the whole job", _envoy_opa, (build.envoy, build.opa_envoy), whole_job=True),
    Row("ztproxy", "ztproxy: the whole job, each request a new decision", whole_job, (), whole_job=True),
    Row(
        *("ztproxy-memo", "ztproxy: the whole job, the same asked again", whole_job, ()),
        whole_job=True,
        unique=False,
        parts=EVERYTHING,
    ),
    Row(
        *("ztproxy-dpop", "ztproxy: likewise, a DPoP proof with each request", _proofs, ()),
        whole_job=True,
        unique=False,
        parts=frozenset(),
        proven=True,
    ),
    Row(
        *(
            "ztproxy-dpop-machine",
            "ztproxy: likewise, limits and used proofs shared by the machine",
            _proofs_machine,
            (),
        ),
        whole_job=True,
        unique=False,
        parts=frozenset(),
        proven=True,
    ),
    Row(
        *("ztproxy-session", "ztproxy: the same asked again, by a browser's session", _sessions, ()),
        whole_job=True,
        unique=False,
        parts=frozenset(),
        session=True,
    ),
    Row("ztproxy-server", "ztproxy: a new decision each, OPA server", _ztproxy_server, (build.opa,), whole_job=True),
    Row("ztproxy-forward", "ztproxy: forwards and nothing else", _ztproxy_forward, ()),
    Row(
        *("ztproxy-machine", "ztproxy: the same asked again, limits shared by the machine", _machine, ()),
        whole_job=True,
        unique=False,
        parts=frozenset(),
    ),
    Row(
        *("ztproxy-2workers", "ztproxy: likewise, two workers on the one core", _two_workers, ()),
        whole_job=True,
        unique=False,
        parts=frozenset(),
    ),
    Row(
        *("ztproxy-2cores", "ztproxy: likewise, two workers on both cores, beside the load", _two_workers, ()),
        whole_job=True,
        unique=False,
        parts=frozenset(),
        cores=BOTH_CORES,
    ),
)


def backend(site: Site) -> Program:
    """Give the backend that all rows forward to: 800 bytes for whatever is asked, and contents of some sizes."""
    contents = site.run / "content"
    contents.mkdir(exist_ok=True)
    for name, size in CONTENTS.items():
        (contents / name).write_bytes(b"x" * size)
    body = '{"items":"' + "x" * (BODY - 12) + '"}'
    body = body.replace('"', '\\"')
    written = site.written("backend.conf", "backend.conf", body=body)
    return Program("backend", [str(build.nginx()), "-p", str(site.run), "-e", "stderr", "-c", written], site.backend)
