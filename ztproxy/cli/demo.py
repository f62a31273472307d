"""`ztproxy demo`."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from ztproxy.cli.common import COULD_NOT, DONE, FOUND

_PORT = 8443


def register(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the program's."""
    text = "run a whole example on this machine: authority, identity provider, two services, and the proxy before them"
    parser = commands.add_parser("demo", help="run a whole example on this machine", description=text)
    parser.add_argument("--tour", action="store_true", help="make the five requests, judge the answers, and end")
    folder = Path("ztproxy-demo")
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", default=folder, help=f"where everything is made (default: {folder})"
    )
    parser.add_argument(
        "--port", type=_port, metavar="PORT", help=f"of the proxy (default: {_PORT} or any that is free; tour: any)"
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 <= int(text) <= 65535:  # noqa: PLR2004 - the largest port
        raise argparse.ArgumentTypeError(f"{text}: a port is a number up to 65535")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo, or its tour; 1 when an answer of the tour was not as it should be."""
    from ztproxy.config.loading import ConfigError  # noqa: PLC0415 - these take a while to load
    from ztproxy.demo.world import FolderError  # noqa: PLC0415
    from ztproxy.serve import StartError, new_event_loop  # noqa: PLC0415

    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            return runner.run(_demonstrate(arguments))
    except (FolderError, StartError, ConfigError, OSError) as wrong:
        print(f"ztproxy demo: {wrong}", file=sys.stderr)
        return COULD_NOT


async def _demonstrate(arguments: argparse.Namespace) -> int:
    from ztproxy.demo import tour, world  # noqa: PLC0415

    port = arguments.port if arguments.port is not None else 0 if arguments.tour else world.free_port(_PORT)
    async with world.running(arguments.folder, port) as made:
        print(f"The demo runs at {made.url}, in the folder {made.folder}. Not for production.")
        print(f"  identity provider  {made.issuer.url}  (users ada and bob, passwords the same)")
        print("  services           orders, over plain HTTP, and payroll, over mutual TLS")
        if arguments.tour:
            return DONE if await tour.take(made) else FOUND
        for stop in tour.STOPS:
            print(f"\n# {stop.title}\n{tour.command(made, stop)}")
        pki = made.folder / "pki"
        print(
            f"\n# a token of your own\ncurl -sS --cacert {pki}/authority.pem -d grant_type=password -d username=bob "
            f"-d password=bob {made.issuer.url}/token"
        )
        print("\n# in a browser, which will warn of an authority that it does not know: log in as ada, then as bob")
        print(f"{made.url}/portal/")
        told = _told_to_stop()
        print("\nCtrl-C ends it.", flush=True)
        await told.wait()
    return DONE


def _told_to_stop() -> asyncio.Event:
    """Set by SIGINT and SIGTERM from now on."""
    loop, told = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, told.set)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(told.set))
    return told
