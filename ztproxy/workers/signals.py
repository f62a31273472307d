"""Signals as events."""

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """SIGTERM and SIGINT stop; what others do is said with `on`."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[int] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._loop.add_signal_handler(number, self._told.put_nowait, number)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda told, _: self._loop.call_soon_threadsafe(self._told.put_nowait, told))
        for name in ("SIGHUP", "SIGUSR1"):
            self.on(name, lambda: None)

    def on(self, name: str, do: Callable[[], None]) -> None:
        """Do this at a signal, on systems that have it."""
        if hasattr(signal, name):
            self._loop.add_signal_handler(getattr(signal, name), do)

    async def stop(self) -> int:
        """The next signal to stop."""
        return await self._told.get()
