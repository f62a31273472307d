"""The rows of the benchmark: what each starts, and what it is asked."""

import pathlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import build
from processes import Program, free_port

CONFIGS = pathlib.Path(__file__).parent / "configs"
# Go's collector is given as much room as embedded OPA has; on Envoy's side it made no difference that shows.
OPA_ENVIRONMENT = {"GOGC": "800"}


BODY = 800  # bytes of each answer; the load generator expects as many


@dataclass(frozen=True)
class Site:
    """What all rows of a run share: its folder, the backend's port and the issuer's URL."""

    run: pathlib.Path
    backend: int
    issuer: str

    def written(self, template: str, name: str, **values: object) -> str:
        """Fill in a template of configs/ and write it into the run's folder."""
        path = self.run / name
        path.write_text(self.filled(template, **values))
        return str(path)

    def filled(self, template: str, **values: object) -> str:
        """Fill in `@key@` in a template of configs/."""
        text = (CONFIGS / template).read_text()
        for key, value in {"run": self.run, "backend": self.backend, "issuer": self.issuer, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        return text


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    title: str
    programs: Callable[[Site, int], Sequence[Program]]  # given the port that the load will connect to
    builds: Sequence[Callable[[], object]]  # done before anything is measured
    whole_job: bool = False  # verifies the token and asks the policy; bench/refusals.py proves it


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


def _ztproxy(site: Site, template: str, port: int, **values: object) -> Program:
    written = site.written(template, template, port=port, **values)
    command = [str(build.ztproxy()), "run", "--config", written]
    return Program("ztproxy", command, port, {"OPENSSL_CONF": str(CONFIGS / "openssl.cnf")})


def _ztproxy_embedded(site: Site, port: int) -> Sequence[Program]:
    return [_ztproxy(site, "ztproxy.yaml", port, engine="embedded", opa=1)]


def _ztproxy_server(site: Site, port: int) -> Sequence[Program]:
    opa = free_port()
    command = [
        *(str(build.opa()), "run", "--server", "--addr", f"127.0.0.1:{opa}", "--disable-telemetry"),
        *("--log-level", "error", str(site.run / "policies" / "ztproxy")),
    ]
    return [
        Program("opa", command, opa, OPA_ENVIRONMENT),
        _ztproxy(site, "ztproxy.yaml", port, engine="server", opa=opa),
    ]


def _ztproxy_forward(site: Site, port: int) -> Sequence[Program]:
    return [_ztproxy(site, "ztproxy-forward.yaml", port)]


ROWS = (
    Row("nginx", "nginx: mTLS, forwards and nothing else", _nginx, (build.nginx,)),
    Row("envoy", "Envoy: the same", _bare_envoy, (build.envoy,)),
    Row("envoy-opa", "Envoy + OPA: the whole job", _envoy_opa, (build.envoy, build.opa_envoy), whole_job=True),
    Row("ztproxy", "ztproxy: the whole job, embedded engine", _ztproxy_embedded, (build.ztproxy,), whole_job=True),
    Row("ztproxy-server", "ztproxy: the same, OPA server", _ztproxy_server, (build.ztproxy, build.opa), whole_job=True),
    Row("ztproxy-forward", "ztproxy: forwards and nothing else", _ztproxy_forward, (build.ztproxy,)),
)


def backend(site: Site) -> Program:
    """Give the backend that all rows forward to: 800 bytes for whatever is asked."""
    body = '{"items":"' + "x" * (BODY - 12) + '"}'
    body = body.replace('"', '\\"')
    written = site.written("backend.conf", "backend.conf", body=body)
    return Program("backend", [str(build.nginx()), "-p", str(site.run), "-e", "stderr", "-c", written], site.backend)
