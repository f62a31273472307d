"""The file of a table: opened only if it is ours alone, made whole or not at all, emptied when the machine restarts.

    octets 0-4095   header: magic, version, number of sets, secret, run of the machine, clock, SHA-256 of all these
    then            the sets; see `ztproxy.store.table`

It is read and written with system calls, not mapped: a file that was cut short or a disk that fails is then an error,
never a signal that ends the process, and a process that is killed has written a record whole or not at all.
"""

import hashlib
import os
import secrets
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ztproxy.store import boot
from ztproxy.store.locking import locked
from ztproxy.store.unusable import StoreError

HEADER = 4096
"""Octets before the first set."""
VERSION = 1
"""Stands in the name too, so that programs of two versions never meet in one file."""
_MAGIC = b"ztstore\n"
_FIELDS = struct.Struct("<8sII16s32s32s")
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)


class TableFile(NamedTuple):
    """An open file that was found to be a table."""

    path: Path
    descriptor: int
    secret: bytes
    """What the keys are hashed with, so that nobody outside can choose where they fall."""
    identity: tuple[int, int]
    """Device and inode."""

    @property
    def in_place(self) -> bool:
        """Whether a process that opens the path now opens this file."""
        try:
            found = self.path.lstat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self.identity


def open_file(folder: Path, name: str, sets: int, octets_per_set: int, patience: float) -> TableFile:
    """Open a table's file, made with its folder if it is not there.

    Raises:
        StoreError: it is not ours alone, damaged, of another clock, or cannot be made.
    """
    path = folder / f"{name}.{VERSION}.{sets}"
    run = boot.boot()
    if run is None or not hasattr(os, "pread"):
        raise StoreError(path, "this system cannot share a table between processes; use redis://")
    mark = _FIELDS.pack(_MAGIC, VERSION, sets, bytes(16), _sha256(run.encode()), _sha256(boot.clock().encode()))
    descriptor = -1
    try:
        descriptor = _open(folder, path)
        found = _owned(path, descriptor)
        with locked(descriptor, path, patience):
            header = _ready(path, descriptor, mark, sets * octets_per_set)
    except OSError as wrong:
        _close(descriptor)
        raise StoreError(path, f"cannot be used ({wrong.strerror or wrong})") from None
    except StoreError:
        _close(descriptor)
        raise
    return TableFile(path, descriptor, _FIELDS.unpack_from(header)[3], (found.st_dev, found.st_ino))


def _ready(path: Path, descriptor: int, mark: bytes, octets: int) -> bytes:
    """The header of the file, which is made if need be; under its lock."""
    header = os.pread(descriptor, HEADER, 0)
    unfinished = not any(header)  # new, or whoever was making it did not come to an end
    if unfinished or _is_of_earlier_run(path, header, mark):
        return _make(descriptor, mark, octets)
    if os.fstat(descriptor).st_size != HEADER + octets:
        raise StoreError(path, "is damaged (not of its size): stop all that use it and remove it")
    return header


def _open(folder: Path, path: Path) -> int:
    """Open the file in its folder, which nobody else can put another one into."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    within = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _NOFOLLOW)
    try:
        found = os.fstat(within)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StoreError(folder, "the folder has to be ours, and writable by nobody else")
        return os.open(path.name, os.O_RDWR | os.O_CREAT | _NOFOLLOW, 0o600, dir_fd=within)
    finally:
        os.close(within)


def _owned(path: Path, descriptor: int) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(path, "is not a file")
    if found.st_uid != os.geteuid():
        raise StoreError(path, "belongs to another user")
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise StoreError(path, "is open to others: stop all that use it and remove it")
    if found.st_nlink != 1:
        raise StoreError(path, "has another name elsewhere, or was removed: stop all that use it and remove it")
    return found


def _is_of_earlier_run(path: Path, header: bytes, mark: bytes) -> bool:
    """Whether the file was written before the machine restarted; a header that is not ours is never overwritten."""
    end = _FIELDS.size + hashlib.sha256().digest_size
    if len(header) != HEADER or _sha256(header[: _FIELDS.size]) != header[_FIELDS.size : end]:
        raise StoreError(path, "is damaged, or no table: stop all that use it and remove it")
    magic, version, sets, _, run, clock = _FIELDS.unpack_from(header)
    own = _FIELDS.unpack(mark)
    if (magic, version, sets) != own[:3]:
        raise StoreError(path, "is a table of another version or size: stop all that use it and remove it")
    if run != own[4]:
        return True
    if clock != own[5]:
        raise StoreError(path, "is used under another clock (a time namespace); give each of them its own folder")
    return False


def _make(descriptor: int, mark: bytes, octets: int) -> bytes:
    """Empty the file and give it all its room now; its header comes last, so that half a table is none."""
    os.ftruncate(descriptor, 0)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, HEADER + octets)
    else:
        for start in range(0, HEADER + octets, 1 << 16):
            os.pwrite(descriptor, bytes(min(1 << 16, HEADER + octets - start)), start)
    magic, version, sets, _, run, clock = _FIELDS.unpack(mark)
    fields = _FIELDS.pack(magic, version, sets, secrets.token_bytes(16), run, clock)
    header = (fields + _sha256(fields)).ljust(HEADER, b"\0")
    os.fsync(descriptor)
    os.pwrite(descriptor, header, 0)
    os.fsync(descriptor)
    return header


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        with suppress(OSError):
            os.close(descriptor)
