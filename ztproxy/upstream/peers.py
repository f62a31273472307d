"""Whether the server at the other end of a TLS connection is who we talk to: by its SPIFFE ID rather than by a name.

OpenSSL verified chain, dates and use in the handshake. A trust domain's bundle vouches for its own IDs alone, so which
authority the chain ends in is looked at here, before anything is sent.
"""

import asyncio
import ssl
from collections.abc import Mapping

from ztproxy.config.spiffe_ids import Ids
from ztproxy.spiffe.svid import fault_in, spiffe_id_in
from ztproxy.spiffe.workload import vouches

_DER = 2
"""`_ssl.ENCODING_DER`."""


class Peers:
    """Those that an upstream's servers may be.

    Args:
        ids: patterns of their SPIFFE IDs.
        vouching: by trust domain, the authorities (DER) of its bundle.
    """

    def __init__(self, ids: tuple[str, ...], vouching: Mapping[str, frozenset[bytes]]) -> None:
        self._ids = Ids(ids)
        self._vouching = vouching

    def fault(self, transport: asyncio.Transport) -> str | None:
        """Why the server is none of them; None when it is."""
        tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        if tls is None:
            return "there is no TLS"
        return self.fault_of(chain_of(tls))

    def fault_of(self, chain: tuple[bytes, ...]) -> str | None:
        """The same of a verified chain, DER, the leaf first."""
        if not chain:
            return "it shows no certificate"
        spiffe_id = spiffe_id_in(chain[0])
        if spiffe_id is None:
            return f"its certificate is no X509-SVID: {fault_in(chain[0])}"
        if not vouches(self._vouching, spiffe_id, chain):
            return f"the bundle of its own trust domain does not vouch for {spiffe_id}"
        return None if spiffe_id in self._ids else f"{spiffe_id} is none of `tls.spiffe_ids`"


def chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The chain that OpenSSL verified; the object in C alone has it before Python 3.13."""
    inner = getattr(tls, "_sslobj")  # noqa: B009 - typeshed knows nothing of it
    return tuple(certificate.public_bytes(_DER) for certificate in inner.get_verified_chain() or ())
