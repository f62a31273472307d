"""Workload identity from files."""

from collections.abc import Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ztproxy.config.spiffe import Spiffe, SvidFiles
from ztproxy.spiffe import bundle, svid
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Svid, Workload

MAXIMUM_FILE = 1 << 20
"""Octets."""


def files_of(spiffe: Spiffe) -> Iterator[Path]:
    """All that are read."""
    if spiffe.svid is not None:
        yield from (spiffe.svid.certificate, spiffe.svid.key)
    for path in (spiffe.bundle, *(one.bundle for one in spiffe.federated)):
        if path is not None:
            yield path


def read(spiffe: Spiffe, now: float) -> Workload:
    """What the files hold; `now` in seconds since 1970. Raises `SpiffeError` that names the file."""
    named = {spiffe.trust_domain: spiffe.bundle} | {one.trust_domain: one.bundle for one in spiffe.federated}
    bundles = {name: bundle.read(_content(path), str(path), now) for name, path in named.items() if path is not None}
    shown = _svid(spiffe.svid, spiffe.trust_domain, now) if spiffe.svid is not None else None
    return Workload("files", shown, bundles)


def _svid(files: SvidFiles, trust_domain: str, now: float) -> Svid:
    try:
        chain = x509.load_pem_x509_certificates(_content(files.certificate))
    except svid.UNREADABLE:
        raise SpiffeError(f"{files.certificate}: holds no certificate in PEM form") from None
    try:
        key = load_pem_private_key(_content(files.key), None)
    except (ValueError, TypeError) as wrong:
        why = "is encrypted" if isinstance(wrong, TypeError) else "holds no private key in PEM form"
        raise SpiffeError(f"{files.key}: {why}") from None
    except Exception as wrong:  # noqa: BLE001 - UnsupportedAlgorithm and its kin
        raise SpiffeError(f"{files.key}: cannot be used: {wrong}") from None
    return svid.own(chain, key, trust_domain, str(files.certificate), now)


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAXIMUM_FILE + 1)
    except OSError as wrong:
        raise SpiffeError(f"{path}: {wrong.strerror or wrong}") from None
    if len(content) > MAXIMUM_FILE:
        raise SpiffeError(f"{path}: is larger than {MAXIMUM_FILE} octets")
    return content
