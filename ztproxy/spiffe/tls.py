"""Our SVID and others' authorities in a TLS context."""

import os
import ssl
import tempfile
from collections.abc import Iterable

from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.workload import Svid

_POLICY_CHECK = ssl.VerifyFlags(0x80)
"""X509_V_FLAG_POLICY_CHECK, which the `ssl` module does not name. Without it an authority's demand that certificates
name a policy (RFC 5280 §4.2.1.11) would be read and not met; with it, and no policy known here, it refuses."""


def show(context: ssl.SSLContext, svid: Svid) -> None:
    """Let a context show our SVID. Raises `SpiffeError`.

    Python's `ssl` takes a key from a file alone: one in memory, where the system has such, else one that nobody else
    may read and that is gone at once.
    """
    pem = svid.key + b"\n" + b"".join(ssl.DER_cert_to_PEM_cert(der).encode() for der in svid.chain)
    try:
        if hasattr(os, "memfd_create"):
            with open(os.memfd_create("svid", os.MFD_CLOEXEC), "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(pem)
                file.flush()
                context.load_cert_chain(f"/proc/self/fd/{file.fileno()}")
        else:
            with tempfile.TemporaryDirectory() as folder:  # mode 0700
                path = os.path.join(folder, "svid")  # noqa: PTH118 - what mkstemp itself does
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(pem)
                context.load_cert_chain(path)
    except (OSError, ValueError) as wrong:
        reason = getattr(wrong, "reason", None) or wrong
        raise SpiffeError(f"our SVID {svid.spiffe_id} cannot be shown: {reason}") from None


def trust(context: ssl.SSLContext, authorities: Iterable[bytes]) -> None:
    """Let a context verify by these authorities (DER) and no others; strictly, and an intermediate may be one."""
    for der in authorities:
        context.load_verify_locations(cadata=der)
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN | _POLICY_CHECK
