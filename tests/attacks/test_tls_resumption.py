"""No session is resumed where client certificates are asked for, under one server name or across two.

CVE-2025-23419 (nginx), CVE-2025-23048 (Apache), CVE-2022-21654 (Envoy): a resumed session carries a client's
authentication to where it was never verified.
"""

import asyncio
import ssl
from pathlib import Path

import pytest

from tests import pki
from tests.listening import asking, dial, listener_settings, receive, serving, until

AUTHORITY = pki.Authority.new()
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def two_connections(port: int, context: ssl.SSLContext, names: tuple[str, str]) -> tuple[bool, bool, bytes]:
    """Whether the first connection gave a session, whether the second resumed it, and what the second then got."""
    with dial(port) as raw, context.wrap_socket(raw, server_hostname=names[0]) as tls:
        tls.sendall(b"ping")
        receive(tls, 4)
        session = tls.session
    given = session is not None and (session.has_ticket or bool(session.id))
    with dial(port) as raw, context.wrap_socket(raw, server_hostname=names[1], session=session) as tls:
        reused = bool(tls.session_reused)
        try:
            tls.sendall(b"ping")
            return given, reused, receive(tls, 4)
        except OSError:
            return given, reused, b""


@pytest.mark.parametrize("names", [("a.example", "a.example"), ("a.example", "b.example")])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["required", "optional"])
async def test_nothing_is_served_on_a_resumed_session(
    tmp_path: Path, mode: str, version: ssl.TLSVersion, names: tuple[str, str]
) -> None:
    options = asking(tmp_path, AUTHORITY, mode) | {"minimum_version": "1.2"}
    servers = (AUTHORITY.server("a.example"), AUTHORITY.server("b.example"))
    async with serving(listener_settings(tmp_path, AUTHORITY, *servers, **options)) as service:
        context = pki.client_context(AUTHORITY, AUTHORITY.issue("alice"), tmp_path, maximum=version)
        _, reused, got = await asyncio.to_thread(two_connections, service.port, context, names)
        if reused:  # OpenSSL's cache of 1.2 cannot be switched off from Python
            assert version == ssl.TLSVersion.TLSv1_2
            assert got == b""
            await until(lambda: service.failures)
            assert service.failures[0].cause.startswith("the client resumed a session")
            assert len(service.applications) == 1
        else:
            assert got == b"ping"
            assert all(a.connection.unchecked_certificate for a in service.applications)


async def test_no_ticket_is_given(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))) as service:
        context = pki.client_context(AUTHORITY, AUTHORITY.issue("alice"), tmp_path)
        given, reused, got = await asyncio.to_thread(two_connections, service.port, context, ("localhost", "localhost"))
        assert (given, reused, got) == (False, False, b"ping")


async def test_a_refused_session_is_forgotten(tmp_path: Path) -> None:
    """A client that tries the same session again gets a full handshake, not a closed door for ever."""
    options = asking(tmp_path, AUTHORITY) | {"minimum_version": "1.2"}
    async with serving(listener_settings(tmp_path, AUTHORITY, **options)) as service:
        context = pki.client_context(AUTHORITY, AUTHORITY.issue("alice"), tmp_path, maximum=ssl.TLSVersion.TLSv1_2)

        def thrice() -> list[bytes]:
            answers = []
            session = None
            for _ in range(3):
                with dial(service.port) as raw:
                    try:
                        with context.wrap_socket(raw, server_hostname="localhost", session=session) as tls:
                            session = session or tls.session
                            tls.sendall(b"ping")
                            answers.append(receive(tls, 4))
                            tls.unwrap()
                    except OSError:
                        if len(answers) < 2:
                            answers.append(b"")
            return answers

        answers = await asyncio.to_thread(thrice)
        assert (answers[0], answers[-1]) == (b"ping", b"ping")
