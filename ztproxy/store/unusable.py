"""What is raised when a store cannot be used."""

from pathlib import Path


class StoreError(Exception):
    """Names the file and what is wrong with it; nothing was read from it that counts."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        self.why = why
        super().__init__(f"{path}: {why}")
