"""TLS through memory: the handshake, records, and both ends of a connection."""

import asyncio
import socket
import ssl
import struct
from pathlib import Path

import pytest

from tests import pki
from tests.listening import (
    PATIENCE,
    MemoryClient,
    Recorder,
    asking,
    dial,
    exchange,
    listener_settings,
    receive,
    serving,
    until,
)
from ztproxy.edge import tls as tls_module

AUTHORITY = pki.Authority.new()
CLIENT = AUTHORITY.issue("alice")


def trusting(folder: Path, leaf: pki.Leaf | None = None, **options) -> ssl.SSLContext:
    return pki.client_context(AUTHORITY, leaf, folder, **options)


async def test_connection_is_described_once(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY, **asking(tmp_path, AUTHORITY))) as service:
        context = trusting(tmp_path, CLIENT)
        assert await asyncio.to_thread(exchange, service.port, context, "LocalHost") == b"ping"
        connection = service.applications[0].connection
    assert connection.tls is not None
    assert (connection.tls.version, connection.tls.server_name) == ("TLSv1.3", "localhost")
    assert connection.tls.cipher == "TLS_AES_256_GCM_SHA384"
    assert (connection.scheme, connection.peer, connection.listener) == ("https", "127.0.0.1", "127.0.0.1:0")
    assert connection.local_port == service.port
    assert connection.peer_port > 0
    assert connection.unchecked_certificate == (CLIENT.der, AUTHORITY.der)
    assert service.failures == []


async def test_without_client_certificate_there_is_none(tmp_path: Path) -> None:
    for options in (asking(tmp_path, AUTHORITY, "optional"), {}):
        async with serving(listener_settings(tmp_path, AUTHORITY, **options)) as service:
            await asyncio.to_thread(exchange, service.port, trusting(tmp_path))
            assert service.applications[0].connection.unchecked_certificate is None


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_large_messages_go_through_both_ways(tmp_path: Path, maximum: ssl.TLSVersion) -> None:
    data = bytes(range(256)) * 4096
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> bytes:
            with (
                dial(service.port) as raw,
                trusting(tmp_path, maximum=maximum).wrap_socket(raw, server_hostname="localhost") as tls,
            ):
                got = b""
                for start in range(0, len(data), 65536):
                    tls.sendall(data[start : start + 65536])
                    got += receive(tls, 65536)
                return got

        assert await asyncio.to_thread(talk) == data
        await until(lambda: service.listener.open == 0)
        assert bytes(service.applications[0].data) == data


async def test_writes_of_one_turn_are_one_record(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder()
        service.make = lambda: made

        def answer_in_parts(_data: bytes) -> None:
            for part in (b"HTTP/1.1 200 OK\r\n", b"\r\n", b"body"):
                made.wire.write(part)

        made.on_received = answer_in_parts
        client = await MemoryClient(trusting(tmp_path)).connect(service.port)
        client.tls.write(b"x")
        client.send()
        assert await client.read_record() == b"HTTP/1.1 200 OK\r\n\r\nbody"
        client.writer.close()


async def test_pipelined_records_are_all_read(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> bytes:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                for _ in range(200):
                    tls.sendall(b"0123456789")
                return receive(tls, 2000)

        assert await asyncio.to_thread(talk) == b"0123456789" * 200


async def test_paused_reading_hands_over_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made
        made.on_received = lambda _data: made.wire.pause_reading()

        def talk() -> None:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                for _ in range(20):
                    tls.sendall(b"z" * 16000)
                tls.unwrap()

        task = asyncio.create_task(asyncio.to_thread(talk))
        for count in range(1, 21):
            await until(lambda count=count: len(made.pieces) == count)
            await asyncio.sleep(0)
            assert len(made.pieces) == count
            made.wire.resume_reading()
        await until(lambda: "ended" in made.events)
        await task
        assert bytes(made.data) == b"z" * 320_000


async def test_slow_reader_pauses_the_application(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made
        go_on = asyncio.Event()
        loop = asyncio.get_running_loop()
        size = 8_000_000
        made.on_received = lambda _data: made.wire.write(b"y" * size)

        def talk() -> int:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                tls.sendall(b"go")
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(PATIENCE)
                return len(receive(tls, size))

        task = asyncio.create_task(asyncio.to_thread(talk))
        await until(lambda: "pause_writing" in made.events)
        assert "resume_writing" not in made.events
        go_on.set()
        assert await task == size
        await until(lambda: "resume_writing" in made.events)


async def test_close_sends_what_was_written_and_close_notify(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def answer(_data: bytes) -> None:
            made.wire.write(b"a" * 300_000)
            made.wire.write(b"last")
            made.wire.close()
            made.wire.write(b"too late")

        made.on_received = answer

        def talk() -> bytes:
            with dial(service.port) as raw:
                context = trusting(tmp_path)
                with context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                    tls.sendall(b"go")
                    return receive(tls, 10_000_000)  # raises on an end without close_notify

        assert (await asyncio.to_thread(talk)) == b"a" * 300_000 + b"last"
        await until(
            lambda: (
                made.events == ["connected", "pause_writing", "resume_writing", "lost"] or made.events[-1:] == ["lost"]
            )
        )
        assert made.events.count("lost") == 1


async def test_unread_data_does_not_cost_the_client_its_answer(tmp_path: Path) -> None:
    """A refused upload: closing with unread data would reset the connection under the answer (RFC 9112 §9.6)."""
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def refuse(_data: bytes) -> None:
            if "refused" not in made.events:
                made.events.append("refused")
                made.wire.write(b"413")
                made.wire.close()

        made.on_received = refuse

        def talk() -> bytes:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                for _ in range(50):
                    tls.sendall(b"u" * 65536)
                return receive(tls, 3)

        assert await asyncio.to_thread(talk) == b"413"
        assert len(made.pieces) == 1


async def test_half_close_lets_the_answer_out(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False, close_on_end=False)
        service.make = lambda: made
        client = await MemoryClient(trusting(tmp_path)).connect(service.port)
        client.tls.write(b"question")
        with pytest.raises(ssl.SSLWantReadError):
            client.tls.unwrap()  # our close_notify is out
        client.send()
        await until(lambda: made.events == ["connected", "ended"])
        made.wire.write(b"answer")
        made.wire.close()
        client.incoming.write(await asyncio.wait_for(client.reader.read(), PATIENCE))
        assert client.tls.read(100) == b"answer"
        client.writer.close()


async def test_write_eof_keeps_reading(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def talk() -> bytes:
            with dial(service.port) as raw:
                context = trusting(tmp_path)
                with context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
                    tls.sendall(b"one")
                    got = receive(tls, 100)
                    tls.sendall(b"two")
                    return got

        def answer(data: bytes) -> None:
            if data == b"one":
                made.wire.write(b"bye")
                made.wire.write_eof()

        made.on_received = answer
        assert await asyncio.to_thread(talk) == b"bye"
        await until(lambda: bytes(made.data) == b"onetwo")
        await until(lambda: made.events[-1] == "lost")


async def test_end_without_close_notify_is_a_loss_not_an_end(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> None:
            raw = dial(service.port)
            tls = trusting(tmp_path).wrap_socket(raw, server_hostname="localhost")
            tls.sendall(b"x")
            receive(tls, 1)
            tls.close()  # no unwrap

        await asyncio.to_thread(talk)
        await until(lambda: service.applications[0].events == ["connected", "lost"])


async def test_reset_is_a_loss(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:

        def talk() -> None:
            raw = dial(service.port)
            tls = trusting(tmp_path).wrap_socket(raw, server_hostname="localhost")
            tls.sendall(b"x")
            receive(tls, 1)
            tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tls.close()

        await asyncio.to_thread(talk)
        await until(lambda: service.applications[0].events == ["connected", "lost"])


async def test_corrupt_record_ends_with_an_alert(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        client = await MemoryClient(trusting(tmp_path)).connect(service.port)
        client.tls.write(b"hello")
        record = bytearray(client.outgoing.read())
        record[-1] ^= 1
        client.writer.write(bytes(record))
        client.incoming.write(await asyncio.wait_for(client.reader.read(), PATIENCE))
        with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
            client.tls.read(100)
        client.writer.close()
        await until(lambda: service.applications[0].events[-1] == "lost")
        assert not service.applications[0].data


async def test_abort_drops_what_is_queued(tmp_path: Path) -> None:
    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def answer(_data: bytes) -> None:
            made.wire.write(b"never")
            made.wire.abort()

        made.on_received = answer

        def talk() -> bytes:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                tls.sendall(b"x")
                try:
                    return tls.recv(100)
                except OSError:
                    return b""

        assert await asyncio.to_thread(talk) == b""
        await until(lambda: made.events == ["connected", "lost"])


async def test_application_that_closes_at_once(tmp_path: Path) -> None:
    class Rude(Recorder):
        def connected(self, wire, connection) -> None:
            super().connected(wire, connection)
            wire.write(b"go away")
            wire.close()

    async with serving(listener_settings(tmp_path, AUTHORITY)) as service:
        service.make = Rude

        def talk() -> bytes:
            with dial(service.port) as raw, trusting(tmp_path).wrap_socket(raw, server_hostname="localhost") as tls:
                return receive(tls, 100)

        assert await asyncio.to_thread(talk) == b"go away"
        await until(lambda: service.applications[0].events == ["connected", "lost"])


def test_cause_is_openssls_own_words() -> None:
    wrong = ssl.SSLError(1, "whatever")
    assert tls_module.cause_of(wrong) == "tls failed"


def test_subject_that_cannot_be_read_is_none() -> None:
    assert tls_module.unverified_subject(b"\x30\x03\x02\x01\x00") is None
