"""The real program in front of a real backend, with real TLS and tokens: `async with Gateway(folder) as gateway`."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web

from tests.functional.ports import free_port
from tests.pki import Authority, Leaf, client_context
from tests.tokens import TokenIssuer

POLICY = """\
package ztproxy.authz

default decision := {"allow": false, "reasons": ["no rule allows this request"]}

decision := {"allow": true, "headers": {"X-Role": "reader"}} if {
	input.request.segments[0] != "secret"
}
"""
CONFIGURATION = """\
version: 1
listeners:
  - address: {address}
    certificates: [{{certificate: gateway.pem, key: gateway.key}}]
    client_certificates: {{authorities: {authorities}, mode: {mode}{crl}}}
{listener}
issuers:
  - {{issuer: "{issuer}", audiences: [ztproxy], algorithms: [RS256], jwks_uri: "{issuer}/keys", authorities: [ca.pem]}}
policy: {policy}
limits: {limits}
routes:
  - name: app
    hosts: [localhost]
    require: {require}
    policy_headers: [X-Role]
    upstream: {upstream}
{route}
logs: {{access: access.log, decisions: var/decisions.db}}
assertion: {assertion}
{more}
"""


HANDING_OVER = (
    sys.executable, "-c",
    (
        "import os, sys; os.dup2(int(os.environ['HANDED']), 3)\n"
        "os.environ |= {'LISTEN_FDS': '1', 'LISTEN_PID': str(os.getpid())}; os.execv(sys.argv[1], sys.argv[1:])"
    ),
)  # fmt: skip
"""Does as systemd does: the socket is descriptor 3, and the process that is told so is the program's."""


class Gateway:
    """`ztproxy run` in a process of its own; the issuer and the backend run in the test's event loop."""

    def __init__(self, folder: Path, ca: Authority | None = None, client: Leaf | None = None, **options: str) -> None:
        self.folder = folder
        self.options = options
        self.ca = ca or Authority.new("Functional Test Root")
        self.client = client or self.ca.issue("alice")
        self.seen: list[dict[str, Any]] = []
        self.port = 0
        self._runners: list[web.AppRunner] = []
        self._process: asyncio.subprocess.Process | None = None
        self.said: list[str] = []
        self.begun = asyncio.Event()
        """A request has come to the backend, perhaps without its content."""

    @classmethod
    def again(cls, earlier: "Gateway", **options: str) -> Self:
        """Another run in the same folder, with the same authority and client."""
        return cls(earlier.folder, earlier.ca, earlier.client, **options)

    async def __aenter__(self) -> Self:
        self.ca.write(self.folder)
        self.ca.server().write(self.folder, "gateway")
        self.client.write(self.folder, "client")
        (self.folder / "policies").mkdir(exist_ok=True)
        (self.folder / "policies" / "authz.rego").write_text(self.options.get("rego", POLICY))
        self.issuer_port = free_port()
        self.issuer = TokenIssuer(f"https://localhost:{self.issuer_port}")
        if "start_issuer" not in self.options:
            await self.start_issuer()
        self.backend_port = backend = free_port()
        await self._serve(self._backend_application(), backend)
        options = {
            "mode": "optional",
            "address": "127.0.0.1:0",
            "authorities": "[ca.pem]",
            "crl": "",
            "listener": "",
            "policy": "{path: policies, show_reasons: true, deadline: 1s}",
            "limits": "{}",
            "require": "[certificate, token]",
            "assertion": '{key: var/assertion.key, issuer: "https://gateway.test"}',
            "upstream": f'{{servers: ["http://127.0.0.1:{backend}"]}}',
            "route": "",
            "more": "",
            **self.options,
        }
        options["route"] = options["route"].replace("UPSTREAM", options["upstream"])
        for name in ("route", "more"):
            options[name] = options[name].replace("ISSUER", self.issuer.issuer)
        (self.folder / "z.yaml").write_text(CONFIGURATION.format(issuer=self.issuer.issuer, **options))
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        workers = self.workers()
        if self._process is not None and self._process.returncode is None:
            self.signal(signal.SIGKILL)
        for worker in workers:  # they would end by themselves, once what they have under way has ended
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        await self.stop(signal.SIGKILL)
        for runner in self._runners:
            await runner.cleanup()

    async def start(self) -> None:
        """Run the program and wait until it serves."""
        handed = self.options.get("handed")
        before = self.options.get("before", "")
        start = f"{before}; from ztproxy.cli.main import main; raise SystemExit(main())"
        program = [sys.executable, *(["-c", start] if before else ["-m", "ztproxy"])]
        program += ["run", "--config", str(self.folder / "z.yaml")]
        self._process = await asyncio.create_subprocess_exec(
            *(program if handed is None else [*HANDING_OVER, *program]),
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "HANDED": handed or ""},
            pass_fds=[] if handed is None else [int(handed)],
        )
        async with asyncio.timeout(120):
            while not (line := await self.line()).startswith("serving"):
                if line.strip().startswith("listening on https://"):
                    self.port = int(line.split("https://")[1].split()[0].rpartition(":")[2])

    async def line(self) -> str:
        """The next line that the program says on standard error."""
        if self._process is None or self._process.stderr is None:
            raise RuntimeError("not running")
        line = (await self._process.stderr.readline()).decode()
        if not line:
            raise RuntimeError(f"the program ended: {''.join(self.said)}")
        self.said.append(line)
        return line

    def signal(self, number: int) -> None:
        """Send the program a signal."""
        if self._process is not None:
            self._process.send_signal(number)

    async def ended(self) -> int:
        """The program's exit code, once it ends."""
        if self._process is None or self._process.stderr is None:
            raise RuntimeError("not running")
        async with asyncio.timeout(30):
            self.said += (await self._process.stderr.read()).decode().splitlines(keepends=True)
            return await self._process.wait()

    async def stop(self, number: int) -> int | None:
        """Send a signal and wait for the end; None when it had ended before."""
        if self._process is None or self._process.returncode is not None:
            return None
        self.signal(number)
        return await self.ended()

    def workers(self) -> list[int]:
        """The processes that serve, the oldest first; none where there is no /proc to tell."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if self._process is not None and int(fields[1]) == self._process.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return sorted(found)

    @property
    def pid(self) -> int:
        """The program's process."""
        if self._process is None:
            raise RuntimeError("not running")
        return self._process.pid

    def session(self, leaf: Leaf | str | None = "own") -> aiohttp.ClientSession:
        """A client's session that shows a certificate: its own, another, or none."""
        shown = self.client if isinstance(leaf, str) else leaf
        context = client_context(self.ca, shown, self.folder)
        return aiohttp.ClientSession(
            f"https://localhost:{self.port}",
            connector=aiohttp.TCPConnector(ssl=context),
            timeout=aiohttp.ClientTimeout(total=20),
        )

    def bearer(self, **claims: object) -> dict[str, str]:
        """The request field with a token."""
        return {"Authorization": self.issuer.bearer(**claims).decode()}

    def access_log(self) -> list[dict[str, Any]]:
        """The lines that the program has logged by now."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]

    async def start_issuer(self) -> None:
        """Let the issuer publish its keys."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "gateway.pem", self.folder / "gateway.key")
        self._issuer = await self._serve(self._issuer_application(), self.issuer_port, context)

    async def stop_issuer(self) -> None:
        """Take the issuer away."""
        await self._issuer.cleanup()

    async def _serve(
        self, application: web.Application, port: int, context: ssl.SSLContext | None = None
    ) -> web.AppRunner:
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()
        return runner

    def _issuer_application(self) -> web.Application:
        application = web.Application()

        async def keys(_: web.Request) -> web.Response:
            return web.json_response(self.issuer.jwks())

        application.router.add_get("/keys", keys)
        return application

    def _backend_application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 30)

        async def show(request: web.Request) -> web.Response:
            self.begun.set()
            body = await request.read()
            seen = {
                "method": request.method,
                "path": request.raw_path,
                "headers": {name.title(): value for name, value in request.headers.items()},
            }
            self.seen.append(seen)
            return web.json_response({**seen, "body": body.decode("latin-1")})

        async def stream(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            async for chunk in request.content.iter_chunked(65536):
                await response.write(chunk)
            return response

        async def events(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for number in range(3):
                await response.write(f"data: {number}\n\n".encode())
            return response

        async def socket(request: web.Request) -> web.WebSocketResponse:
            response = web.WebSocketResponse()
            await response.prepare(request)
            async for message in response:
                await response.send_str(f"echo {message.data}")
            return response

        application.router.add_route("*", "/stream", stream)
        application.router.add_get("/events", events)
        application.router.add_get("/socket", socket)
        application.router.add_route("*", "/{path:.*}", show)
        return application
