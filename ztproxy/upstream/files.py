"""Files that hold keys and certificates: what is said when one cannot be used."""

from pathlib import Path


class UnusableFileError(ValueError):
    """A file that the configuration names cannot be used; nothing takes its place."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}")
