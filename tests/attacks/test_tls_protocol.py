"""What is no TLS, old TLS or weak TLS gets nothing, and the operator is told why."""

import asyncio
import shutil
import socket
import ssl
import subprocess
import warnings
from pathlib import Path

import pytest

from tests import pki
from tests.listening import PATIENCE, MemoryClient, asking, dial, exchange, listener_settings, receive, serving, until
from ztproxy.config.edge import Connections
from ztproxy.edge.admission import Admission

AUTHORITY = pki.Authority.new()


def impatient() -> Admission:
    return Admission(Connections(handshake_timeout=0.05))


def old_context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = pki.client_context(AUTHORITY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = version
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_old_versions(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol version"):
            await asyncio.to_thread(exchange, service.port, old_context(version))
        await until(lambda: service.failures)
        assert service.failures[0].cause == "unsupported protocol"


async def test_version_1_2_where_client_certificates_are_asked_for(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY, "optional"))) as service:
        context = pki.client_context(AUTHORITY, maximum=ssl.TLSVersion.TLSv1_2)
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol version"):
            await asyncio.to_thread(exchange, service.port, context)


@pytest.mark.parametrize("suite", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "aNULL"])
async def test_weak_suites(tmp_path: Path, suite: str) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        context = old_context(ssl.TLSVersion.TLSv1_2)
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
            await asyncio.to_thread(exchange, service.port, context)
        await until(lambda: service.failures)
        assert service.failures[0].cause == "no shared cipher"


@pytest.mark.parametrize(
    ("sent", "cause"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"\x00" * 300, "wrong version number"),
        (b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000, ""),
        (b"\x80\x2e\x01\x00\x02" + b"\x00" * 50, ""),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", "https proxy request"),
    ],
    ids=["http", "zeros", "oversized record", "sslv2", "connect"],
)
async def test_garbage_is_reported_and_closed(tmp_path: Path, sent: bytes, cause: str) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> None:
            with dial(service.port) as raw:
                try:
                    raw.sendall(sent)
                    raw.shutdown(socket.SHUT_WR)
                    receive(raw, 100_000)
                except OSError:
                    pass

        await asyncio.to_thread(talk)
        await until(lambda: service.failures and service.listener.open == 0)
        assert cause in service.failures[0].cause
        assert len(service.failures) == 1
        assert service.applications == []


async def test_half_a_hello_ends_in_time(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY), admission=impatient()) as service:

        def talk() -> bytes:
            with dial(service.port) as raw:
                raw.sendall(b"\x16\x03\x01\x02\x00\x01")
                try:
                    return raw.recv(100)
                except ConnectionResetError:
                    return b""

        assert await asyncio.to_thread(talk) == b""
        await until(lambda: service.listener.open == 0)
        assert [failed.cause for failed in service.failures] == ["the handshake took too long"]


async def test_silence_ends_in_time(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY), admission=impatient()) as service:
        _reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.failures)
        await until(lambda: service.listener.open == 0)
        writer.close()


async def test_knock_without_a_byte_is_no_failure(tmp_path: Path) -> None:
    """A load balancer that only looks whether the port is open fills no log."""
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        (await asyncio.open_connection("127.0.0.1", service.port))[1].close()
        _reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.close()
        await until(lambda: service.listener.open == 0)
        assert service.failures == []


async def test_client_that_leaves_midway_is_reported(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> None:
            with dial(service.port) as raw:
                raw.sendall(b"\x16\x03\x01\x02\x00\x01")

        await asyncio.to_thread(talk)
        await until(lambda: service.failures)
        assert "during the handshake" in service.failures[0].cause


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # CPython prints the name itself
async def test_name_that_is_no_text(tmp_path: Path) -> None:
    """SNI in other than ASCII is answered with an alert and reported, whatever bytes it holds."""
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        client = MemoryClient(pki.client_context(AUTHORITY), "placeholder.example")
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        hello = client.outgoing.read().replace(b"placeholder", b"plac\xffholder")

        def talk() -> bytes:
            with dial(service.port) as raw:
                raw.sendall(hello)
                raw.shutdown(socket.SHUT_WR)
                return receive(raw, 100_000)

        answer = await asyncio.to_thread(talk)
        assert answer[0] == 0x15  # an alert
        await until(lambda: service.failures)
        assert service.applications == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="apt-get install openssl")
async def test_renegotiation_is_refused(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        process = await s_client(service.port, "-tls1_2")
        await until(lambda: service.applications)
        output = await say(process, b"R\n")
        assert b"RENEGOTIATING" in output
        assert b"no renegotiation" in output
        await until(lambda: service.listener.open == 0)
        assert not service.applications[0].data


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="apt-get install openssl")
async def test_key_updates_are_answered(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        process = await s_client(service.port, "-tls1_3")
        await until(lambda: service.applications)
        assert process.stdin is not None
        for expected in (b"one\n", b"two\n"):
            process.stdin.write(b"K\n")
            await asyncio.sleep(0.05)  # s_client takes a command only if nothing else stands in its buffer
            process.stdin.write(expected)
            await until(lambda expected=expected: expected in service.applications[0].data)
        output = await say(process, b"")
        assert b"KEYUPDATE" in output
        assert bytes(service.applications[0].data) == b"one\ntwo\n"
        assert b"two" in output


async def s_client(port: int, version: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "openssl", "s_client", "-connect", f"127.0.0.1:{port}", version,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


async def say(process: asyncio.subprocess.Process, text: bytes) -> bytes:
    output, _ = await asyncio.wait_for(process.communicate(text), PATIENCE)
    return output


async def test_keys_are_written_to_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        await asyncio.to_thread(exchange, service.port, pki.client_context(AUTHORITY))
    assert not keys.exists()
