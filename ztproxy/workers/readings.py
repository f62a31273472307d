"""What a worker read its configuration from, so that it is known whether all workers read the same."""

from collections.abc import Iterator

import msgspec

from ztproxy.config.files import files_of
from ztproxy.config.settings import Settings
from ztproxy.workers.manifest import disagreement


def changed(settings: Settings, before: bytes, *, by_manifest: bool) -> str | None:
    """What changed while it was read: then nobody knows what was."""
    if state_of(settings) != before:
        return "files that the configuration names changed while they were read; try again"
    directory = settings.policy.path
    return disagreement(directory) if by_manifest and directory is not None else None


def state_of(settings: Settings) -> bytes:
    """Names the content of every file that the configuration names, as far as the file system tells."""
    return msgspec.json.encode(list(_states(settings)))


def _states(settings: Settings) -> Iterator[tuple[str, int, int, int] | tuple[str]]:
    for path in files_of(settings):
        try:
            found = path.stat()
        except OSError:
            yield (str(path),)
        else:
            yield (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
