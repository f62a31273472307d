"""What becomes of a client certificate: a real handshake in memory with a listener's own contexts, then `identity/`.

judge = Judge(folder, authorities)                    # what a listener that demands certificates is made of
judge(leaf_pem_with_intermediates, key)               # None: it counts; else why not
"""

import ssl
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.listening import listener_settings
from tests.pki import Authority, key_pem, pem_of
from ztproxy.edge import contexts
from ztproxy.edge.tls import cause_of, chain_of
from ztproxy.identity.certificates.description import describe
from ztproxy.identity.certificates.fitness import CLIENT_AUTH, fit
from ztproxy.model import Certificate, Refusal

_SERVER = Authority.new("Server's Root")


class Judge:
    """A listener that demands certificates of `authorities`.

    Args:
        folder: where its files go.
        authorities: whose certificates count.
        now: seconds since 1970, for the dates that `identity/` looks at; OpenSSL reads the clock itself.
        purpose_demanded: whether a certificate must name client authentication; False where a suite's never do.
    """

    def __init__(
        self, folder: Path, authorities: Sequence[x509.Certificate], now: float, *, purpose_demanded: bool = True
    ) -> None:
        self._folder = folder
        self._now = now
        self._purpose_demanded = purpose_demanded
        self._authorities = frozenset(one.public_bytes(Encoding.DER) for one in authorities)
        settings = listener_settings(folder, _SERVER, _SERVER.server())
        trusted = folder / "trusted.pem"
        trusted.write_bytes(pem_of(authorities))
        asked = settings.client_certificates.model_copy(update={"authorities": [trusted], "mode": "required"})
        self._contexts = contexts.build(settings.model_copy(update={"client_certificates": asked}), now)

    def __call__(self, shown: Sequence[x509.Certificate], key: object) -> str | Certificate:
        """Why a certificate, shown with its intermediates, does not count; what it says when it does."""
        chain = self.handshake(shown, key)
        if isinstance(chain, str):
            return chain
        certificate = describe(chain)
        if isinstance(certificate, Refusal):
            return f"{certificate.detail} {certificate.cause}".strip()
        read = certificate
        if not self._purpose_demanded:
            read = msgspec.structs.replace(certificate, extended_key_usage=(CLIENT_AUTH,))
        refusal = fit(read, self._authorities, self._now)
        return certificate if refusal is None else refusal.detail or refusal.reason.word

    def handshake(self, shown: Sequence[x509.Certificate], key: object) -> str | tuple[bytes, ...]:
        """The chain that OpenSSL verified, as DER; or its reason why not, or why the client could not show it."""
        pair = self._folder / "shown.pem"
        pair.write_bytes(key_pem(key) + pem_of(shown))
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        client.set_ciphers("ALL:@SECLEVEL=0")
        try:
            client.load_cert_chain(pair)
        except ssl.SSLError as wrong:
            return f"cannot be shown: {cause_of(wrong)}"
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = self._contexts.wrap(to_server, to_client)
        theirs = client.wrap_bio(to_client, to_server, server_side=False)
        done: set[ssl.SSLObject] = set()
        while len(done) < 2:
            for side in (theirs, ours):
                if side in done:
                    continue
                try:
                    side.do_handshake()
                    done.add(side)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError as wrong:
                    return cause_of(wrong) if side is ours else f"the client ended: {cause_of(wrong)}"
        return chain_of(ours)
