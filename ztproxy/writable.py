"""Whether a file or folder that the program makes by itself could be made and written, found out without making it."""

import os
from pathlib import Path


def unwritable(path: Path, *, folder: bool = False) -> str | None:
    """What keeps a path from being written, None when nothing is seen that does.

    Args:
        path: of what the program makes; folders above it that are missing are made too.
        folder: whether it is a folder itself.
    """
    if path.exists() and path.is_dir() != folder:
        return f"{path}: {'is not a folder' if folder else 'is a folder, not a file'}"
    there = next((part for part in (path, *path.parents) if part.exists()), path)
    if there != path and not there.is_dir():
        return f"{path}: {there} is not a folder"
    if not os.access(there, os.W_OK | (os.X_OK if there.is_dir() else 0)):
        return f"{path}: cannot be written" + ("" if there == path else f", because {there} cannot")
    return None
