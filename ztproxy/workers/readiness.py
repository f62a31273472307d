"""What keeps a worker from doing its job, as `/readyz` tells it."""

from collections.abc import Iterator

from ztproxy.serve import Server


def unready(server: Server) -> Iterator[str]:
    """Each thing that is not ready; nothing when all is."""
    serving = server.serving
    if serving is None:
        yield "no configuration serves yet"
        return
    yield from serving.parts.identity.unready()
