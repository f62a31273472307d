"""Clients that keep asking over kept TLS connections, and look at every answer: does it name the request it is for?

`async with Load(...) as load`: clients ask until the end, each on a connection of its own and one request at a time.
An answer of 200 must hold what `tests.resilience.upstream.content` makes of the request's path, to the last octet; any
other answer must be one of the proxy's own. What else comes is a wrong answer.
"""

import asyncio
import itertools
import json
import ssl
from collections import Counter
from typing import Any, Self

from tests.resilience.upstream import content

PATIENCE = 60.0
"""Seconds without any answer after which something hangs."""


class Cut(Exception):  # noqa: N818 - what happened to an answer
    """The connection ended before the answer did."""


class Load:
    """So many clients of a proxy on loopback."""

    def __init__(
        self, port: int, context: ssl.SSLContext, clients: int, prefix: str = "/load", patience: float = PATIENCE
    ) -> None:
        self.port = port
        self.statuses: Counter[int] = Counter()
        self.cut = 0
        """Answers that ended before they were complete, or did not begin."""
        self.wrong: list[str] = []
        self.answers = 0
        self.by_client: Counter[int] = Counter()
        """Whole answers of 200, by client."""
        self._context = context
        self._clients = clients
        self._prefix = prefix
        self._patience = patience
        self._numbers = itertools.count()
        self._progress = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        wrong = [one for one in ended if isinstance(one, Exception)]
        if wrong:
            raise ExceptionGroup("clients failed", wrong)

    async def more(self, answers: int) -> None:
        """Wait until so many more answers came, whole or cut."""
        await self._until(lambda wanted=self.answers + answers: self.answers >= wanted)

    async def served(self) -> None:
        """Wait until every client got a whole answer of 200 to a request that it made after now, and then one more."""
        before = self.by_client.copy()
        await self._until(lambda: all(self.by_client[each] > before[each] + 1 for each in range(self._clients)))

    async def _until(self, there: Any) -> None:
        async with asyncio.timeout(self._patience), self._progress:
            await self._progress.wait_for(lambda: there() or self.wrong or self._failed())
        for task in self._tasks:
            if task.done():
                task.result()  # raises what ended it

    def _failed(self) -> bool:
        return any(task.done() for task in self._tasks)

    async def _client(self, number: int) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        try:
            while True:
                if connection is None:
                    connection = await asyncio.open_connection(
                        "127.0.0.1", self.port, ssl=self._context, server_hostname="localhost"
                    )
                path = f"{self._prefix}/{number}/{next(self._numbers)}"
                try:
                    kept = await self._ask(number, path, *connection)
                except (Cut, ConnectionError, asyncio.IncompleteReadError):
                    self.cut += 1
                    kept = False
                if not kept:
                    connection[1].transport.abort()
                    connection = None
                self.answers += 1
                async with self._progress:
                    self._progress.notify_all()
        finally:
            if connection is not None:
                connection[1].transport.abort()
            async with self._progress:
                self._progress.notify_all()

    async def _ask(self, number: int, path: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection is good for another."""
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(fields["content-length"]))
        self.statuses[status] += 1
        if status == 200:
            self.by_client[number] += 1
            if body != content(path):
                self.wrong.append(f"{path} was answered with {body[:80]!r}")
        elif json.loads(body).get("status") != status or not fields.get("x-request-id"):
            self.wrong.append(f"{path} was answered {status} by somebody else: {body[:80]!r}")
        return fields.get("connection", "").lower() != "close"
