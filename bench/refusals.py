"""Shows that a row does its job before it is measured: what must be refused is refused, what must pass passes."""

import http.client
import pathlib
import socket
import ssl
from collections.abc import Iterator

import credentials

ITEM = "/api/items/1"
NO_CERTIFICATE = (None, 400)  # nginx completes the handshake and answers 400
TIMEOUT = 10.0  # seconds


class NotTheSameJob(Exception):  # noqa: N818 - reads as what happened, in a row of the table
    """A row let something pass, or refused it otherwise than the job demands."""


def check(run: pathlib.Path, port: int, *, whole_job: bool, proven: bool = False) -> None:
    """Ask a row what it must allow and what it must refuse.

    Raises:
        NotTheSameJob: with what was asked, and the answer.
    """
    if _answer(run, port, "GET", ITEM, None, certificate=False) not in NO_CERTIFICATE:
        raise NotTheSameJob("served a client without a certificate")
    asked = [*_whole_job(run)] if whole_job else [*_bare()]
    if proven:
        bound = (run / "bound-tokens").read_text().split()[0]
        asked.append(("a bound token without its proof", "GET", ITEM, bound, 401))
    for what, method, path, token, expected in asked:
        status = _answer(run, port, method, path, token)
        if status != expected:
            raise NotTheSameJob(f"{what}: answered {status}, not {expected}")


def _bare() -> Iterator[tuple[str, str, str, str | None, int]]:
    yield "a request", "GET", ITEM, None, 200


def _whole_job(run: pathlib.Path) -> Iterator[tuple[str, str, str, str | None, int]]:
    good = (run / "tokens").read_text().split()[0]
    head, payload, signature = good.split(".")
    forged = f"{head}.{payload}.{signature[:40]}{'A' if signature[40] != 'A' else 'B'}{signature[41:]}"
    yield "a request", "GET", ITEM, good, 200
    yield "no token", "GET", ITEM, None, 401
    yield "a forged token", "GET", ITEM, forged, 401
    yield "a revoked token", "GET", ITEM, (run / "revoked-token").read_text(), 403
    yield "a path of another role", "GET", "/api/service-1/1", good, 403
    yield "a method of another role", "DELETE", ITEM, good, 403
    yield "an internal path", "GET", "/api/items/_internal", good, 403


def _answer(
    run: pathlib.Path, port: int, method: str, path: str, token: str | None, *, certificate: bool = True
) -> int | None:
    """Give the answer's status, None where the connection ended instead."""
    context = ssl.create_default_context(cafile=str(run / "server-ca.pem"))
    if certificate:
        context.load_cert_chain(run / "client.pem", run / "client.key")
    lines = [f"{method} {path} HTTP/1.1", f"Host: {credentials.NAME}", "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname=credentials.NAME) as connection,
        ):
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            return answer.status
    except (OSError, http.client.HTTPException):
        return None
