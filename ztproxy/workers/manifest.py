"""A manifest of a policy directory: `SHA256SUMS`, as `sha256sum` writes it, names every file and its hash.

Whoever copies a policy copies the manifest last. Only a directory that agrees with it to the last file is a policy that
somebody meant; half a copy may compile, and allow.
"""

import hashlib
import re
from pathlib import Path

NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_LARGEST = 1 << 20


def disagreement(directory: Path) -> str | None:
    """Why a directory is not what its manifest says; None when it is. Reads every file."""
    manifest = directory / NAME
    try:
        if manifest.stat().st_size > _LARGEST:
            return f"{manifest}: larger than 1 MiB"
        listed = _listed(manifest.read_text())
        if listed is None:
            return f"{manifest}: not what `sha256sum` writes"
        found = {
            str(path.relative_to(directory)): path
            for path in directory.rglob("*")
            if path.is_file() and path != manifest
        }
        if unlisted := sorted(found.keys() - listed.keys()):
            return f"{manifest}: does not list {unlisted[0]}"
        if missing := sorted(listed.keys() - found.keys()):
            return f"{manifest}: lists {missing[0]}, which is not there"
        for name, path in found.items():
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != listed[name]:
                    return f"{manifest}: {name} is not what it says"
    except (OSError, ValueError) as wrong:
        return f"{manifest}: cannot be checked: {wrong}"
    return None


def _listed(text: str) -> dict[str, str] | None:
    """Hashes by path within the directory; None when a line is no such pair, or a path is named twice."""
    listed: dict[str, str] = {}
    for line in text.splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        name = found[2].removeprefix("./")
        if name in listed:
            return None
        listed[name] = found[1]
    return listed
