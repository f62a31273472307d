"""`ztproxy status`: what the running proxy says of itself."""

import http
import sys

import msgspec

from ztproxy.cli.common import COULD_NOT, DONE, FOUND
from ztproxy.config.values import Address


def show(address: Address, token: str | None = None, *, as_json: bool = False) -> int:
    """Print the status of whoever answers there; the exit code."""
    from ztproxy.admin.client import UnreachableError, ask  # noqa: PLC0415 - errors of the configuration come first
    from ztproxy.cli.status_text import lines  # noqa: PLC0415
    from ztproxy.observe.fleet import FORMAT, FleetStatus  # noqa: PLC0415

    try:
        code, content = ask(address, "GET", "/status", token=token)
        if code != http.HTTPStatus.OK:
            raise UnreachableError(f"{address}: answered {code}")  # noqa: TRY301 - told like one that cannot be reached
        status = msgspec.json.decode(content, type=FleetStatus)
    except (UnreachableError, msgspec.DecodeError) as wrong:
        print(f"ztproxy: no status: {wrong}", file=sys.stderr)
        return COULD_NOT
    if status.format != FORMAT:
        print(f"ztproxy: no status: of another version's form, {status.format}", file=sys.stderr)
        return COULD_NOT
    if as_json:
        print(content.decode())
    else:
        print(*lines(status), sep="\n")
    return FOUND if status.problems else DONE
