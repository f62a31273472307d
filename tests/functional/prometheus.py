"""A Prometheus of a test's own, that scrapes one address once a second."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from tests.functional.ports import free_port

CONFIGURATION = """\
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: ztproxy
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """`async with Prometheus(folder, "127.0.0.1:9902") as prometheus`."""

    def __init__(self, folder: Path, target: str) -> None:
        self._folder = folder
        self._target = target
        self._url = f"127.0.0.1:{free_port()}"

    async def __aenter__(self) -> Self:
        configuration = self._folder / "prometheus.yml"
        configuration.write_text(CONFIGURATION.format(target=self._target))
        self._process = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={configuration}", f"--storage.tsdb.path={self._folder / 'tsdb'}"),
            *(f"--web.listen-address={self._url}", "--log.level=error"),
            stdout=asyncio.subprocess.DEVNULL,
            env={**os.environ, "GOMAXPROCS": "1"},
        )
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self._process.kill()
        await self._process.wait()

    async def until(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives, once it gives anything."""
        async with asyncio.timeout(60):
            while not (found := await self._ask(expression)):
                await asyncio.sleep(0.1)
            return found

    async def _ask(self, expression: str) -> list[dict[str, Any]]:
        try:
            async with self._session.get(f"http://{self._url}/api/v1/query?query={quote(expression)}") as answer:
                told = json.loads(await answer.read())
        except (aiohttp.ClientError, ValueError):  # not up yet
            return []
        return told["data"]["result"] if told.get("status") == "success" else []
