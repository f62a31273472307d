"""Files that hold keys and certificates: how one is made, and what is said when one cannot be used."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path


class UnusableFileError(ValueError):
    """A file that the configuration names cannot be used; nothing takes its place."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}")


def create_private(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all, readable by nobody else; where another process was first, its file stays.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(name, path)  # unlike a rename, never replaces
    finally:
        Path(name).unlink()
