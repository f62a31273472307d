"""Plaintext: gathered writes, an orderly end, flow control."""

import asyncio
import socket
import struct

import pytest

from tests.listening import PATIENCE, Recorder, dial, receive, serving, until
from ztproxy.edge import wire as wire_module
from ztproxy.edge.wire import GATHERED, PlainWire


class CountingTransport:
    """Stands between wire and socket to count what a system call each would be."""

    def __init__(self, under: asyncio.Transport) -> None:
        self.under = under
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.under.write(data)

    def __getattr__(self, name: str):
        return getattr(self.under, name)


def counted(recorder: Recorder) -> CountingTransport:
    wire = recorder.wire
    assert isinstance(wire, PlainWire)
    wire._transport = counting = CountingTransport(wire._transport)  # type: ignore[assignment]
    return counting


async def test_connection_says_it_is_plaintext() -> None:
    async with serving() as service:
        assert await asyncio.to_thread(ping, service.port) == b"ping"
        connection = service.applications[0].connection
        assert (connection.scheme, connection.tls, connection.unchecked_certificate) == ("http", None, None)
        await until(lambda: service.applications[0].events == ["connected", "ended", "lost"])


def ping(port: int) -> bytes:
    with dial(port) as sock:
        sock.sendall(b"ping")
        return receive(sock, 4)


async def test_answer_in_parts_is_one_write() -> None:
    async with serving() as service:
        made = Recorder(echo=False)
        service.make = lambda: made
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: made.events)
        transport = counted(made)
        made.on_received = lambda _data: [made.wire.write(part) for part in (b"a", b"b", b"c")]
        writer.write(b"x")
        assert await reader.readexactly(3) == b"abc"
        assert transport.writes == [b"abc"]
        writer.close()


async def test_writes_from_elsewhere_in_a_turn_are_one_write() -> None:
    """An upstream's answer arrives in another callback of the loop."""
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.applications and service.applications[0].events)
        made = service.applications[0]
        transport = counted(made)
        made.wire.write(b"head")
        made.wire.write(b"body")
        assert transport.writes == []
        assert await reader.readexactly(8) == b"headbody"
        assert transport.writes == [b"headbody"]
        made.wire.write(b"more")
        assert await reader.readexactly(4) == b"more"
        writer.close()


async def test_much_is_not_gathered() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.applications and service.applications[0].events)
        made = service.applications[0]
        transport = counted(made)
        made.wire.write(b"z" * GATHERED)
        assert transport.writes == []
        made.wire.write(b"z")
        assert len(transport.writes) == 1
        assert len(await reader.readexactly(GATHERED + 1)) == GATHERED + 1
        writer.close()


async def test_close_lets_out_what_was_written_and_no_more() -> None:
    async with serving() as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def answer(_data: bytes) -> None:
            made.wire.write(b"last")
            made.wire.close()
            made.wire.write(b"late")
            made.wire.close()

        made.on_received = answer

        def talk() -> bytes:
            with dial(service.port) as sock:
                sock.sendall(b"x")
                return receive(sock, 100)

        assert await asyncio.to_thread(talk) == b"last"
        await until(lambda: made.events == ["connected", "lost"])


async def test_unread_data_does_not_cost_the_client_its_answer() -> None:
    async with serving() as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def refuse(_data: bytes) -> None:
            made.wire.write(b"413")
            made.wire.close()

        made.on_received = refuse

        def talk() -> bytes:
            with dial(service.port) as sock:
                for _ in range(50):
                    sock.sendall(b"u" * 65536)
                return receive(sock, 100)

        assert await asyncio.to_thread(talk) == b"413"
        assert len(made.pieces) == 1


async def test_paused_client_is_still_let_go() -> None:
    async with serving() as service:
        made = Recorder(echo=False)
        service.make = lambda: made

        def refuse(_data: bytes) -> None:
            made.wire.pause_reading()
            made.wire.write(b"no")
            made.wire.close()

        made.on_received = refuse

        def talk() -> bytes:
            with dial(service.port) as sock:
                sock.sendall(b"u" * 1_000_000)
                return receive(sock, 100)

        assert await asyncio.to_thread(talk) == b"no"
        async with asyncio.timeout(wire_module.LINGER / 2):  # its own end ends it, not the deadline
            await until(lambda: made.events == ["connected", "lost"])


async def test_client_that_never_closes_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "LINGER", 0.02)
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.applications and service.applications[0].events)
        service.applications[0].wire.close()
        await until(lambda: service.listener.open == 0)
        assert service.applications[0].events == ["connected", "lost"]
        assert await reader.read() == b""
        writer.close()


@pytest.mark.slow
async def test_client_that_never_reads_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_module, "LINGER", 0.05)
    async with serving() as service:
        with dial(service.port) as sock:
            await until(lambda: service.applications and service.applications[0].events)
            made = service.applications[0]
            made.wire.write(b"y" * 20_000_000)
            made.wire.close()
            await until(lambda: service.listener.open == 0)
            assert made.events == ["connected", "pause_writing", "lost"]
            assert sock.fileno() > 0


async def test_half_close_lets_the_answer_out() -> None:
    async with serving() as service:
        made = Recorder(echo=False, close_on_end=False)
        service.make = lambda: made
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(b"question")
        writer.write_eof()
        await until(lambda: made.events == ["connected", "ended"])
        made.wire.pause_reading()
        made.wire.resume_reading()
        made.wire.write(b"answer")
        made.wire.close()
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"answer"
        await until(lambda: made.events == ["connected", "ended", "lost"])
        writer.close()


async def test_write_eof_keeps_reading() -> None:
    async with serving() as service:
        made = Recorder(echo=False)
        service.make = lambda: made
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: made.events)
        made.wire.write(b"bye")
        made.wire.write_eof()
        made.wire.write(b"late")
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b"bye"
        writer.write(b"still here")
        await until(lambda: bytes(made.data) == b"still here")
        writer.close()
        await until(lambda: made.events == ["connected", "ended", "lost"])


async def test_pause_and_resume_reading() -> None:
    async with serving() as service:
        made = Recorder()
        service.make = lambda: made
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: made.events)
        made.wire.pause_reading()
        made.wire.pause_reading()
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(4), 0.05)
        assert not made.data
        made.wire.resume_reading()
        made.wire.resume_reading()
        assert await asyncio.wait_for(reader.readexactly(4), PATIENCE) == b"held"
        writer.close()


async def test_slow_reader_pauses_the_application() -> None:
    async with serving() as service:
        with dial(service.port) as sock:
            await until(lambda: service.applications and service.applications[0].events)
            made = service.applications[0]
            made.wire.write(b"y" * 8_000_000)
            assert made.events == ["connected", "pause_writing"]
            assert len(await asyncio.to_thread(receive, sock, 8_000_000)) == 8_000_000
            await until(lambda: made.events == ["connected", "pause_writing", "resume_writing"])


async def test_reset_is_told_once() -> None:
    async with serving() as service:

        def talk() -> None:
            sock = dial(service.port)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

        await asyncio.to_thread(talk)
        await until(lambda: service.applications and service.applications[0].events == ["connected", "lost"])
        wire = service.applications[0].wire
        wire.write(b"x")
        wire.pause_reading()
        wire.resume_reading()
        wire.write_eof()
        wire.close()
        wire.abort()
        assert service.applications[0].events == ["connected", "lost"]


async def test_abort_drops_what_is_queued() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        await until(lambda: service.applications and service.applications[0].events)
        made = service.applications[0]
        made.wire.write(b"never")
        made.wire.abort()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
