"""What publishes revocation lists and answers OCSP questions over plain HTTP on loopback, well behaved or not.

async with Publisher() as publisher:
    publisher.documents["/ca.crl"] = ROOT.crl(revoked).public_bytes(Encoding.DER)
    publisher.responders["/ocsp"] = Responder(ROOT)
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.pki import DAY, Authority, Leaf, now

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NAMED_WITH = hashes.SHA1()  # noqa: S303 - a name, no signature
GOOD, REVOKED, UNKNOWN = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED, ocsp.OCSPCertStatus.UNKNOWN


def delegate(authority: Authority, *, eku: Any = (ExtendedKeyUsageOID.OCSP_SIGNING,), **options: Any) -> Leaf:
    """One that the authority lets answer for it."""
    return authority.issue("responder", eku=eku, **options)


class Responder:
    """Answers for an authority; what it is given changes its answers.

    Args:
        authority: whose certificates it knows.
        signer: signs instead of the authority itself.
        shown: certificates sent along; the signer's own when absent.
    """

    def __init__(
        self,
        authority: Authority,
        signer: Leaf | Authority | None = None,
        shown: Sequence[x509.Certificate] | None = None,
    ) -> None:
        self.authority = authority
        self.signer = signer or authority
        self.shown = shown if shown is not None else () if signer is None else (signer.certificate,)
        self.status: dict[int, ocsp.OCSPCertStatus] = {}
        """By serial number; good otherwise."""
        self.this_update: Callable[[], dt.datetime] = lambda: now() - dt.timedelta(minutes=1)
        self.next_update: Callable[[], dt.datetime | None] = lambda: now() + DAY
        self.nonce: Callable[[bytes | None], bytes | None] = lambda nonce: nonce
        self.hashed: hashes.HashAlgorithm | None = hashes.SHA256()
        self.named = ocsp.OCSPResponderEncoding.HASH
        self.questions = 0

    def revoke(self, leaf: Leaf) -> None:
        self.status[leaf.certificate.serial_number] = REVOKED

    def answer(self, question: bytes) -> bytes:
        """What it says to a request, DER."""
        self.questions += 1
        asked = ocsp.load_der_ocsp_request(question)
        nonces = [one.value.nonce for one in asked.extensions if isinstance(one.value, x509.OCSPNonce)]
        return self.say(asked.serial_number, nonces[0] if nonces else None)

    def about(self, leaf: Leaf) -> bytes:
        """What it says about a certificate that nobody has asked about."""
        return self.say(leaf.certificate.serial_number, None)

    def say(self, serial: int, nonce: bytes | None) -> bytes:
        status = self.status.get(serial, GOOD)
        builder = ocsp.OCSPResponseBuilder().add_response_by_hash(
            *self.names(),
            serial,
            NAMED_WITH,
            status,
            self.this_update(),
            self.next_update(),
            now() - DAY if status is REVOKED else None,
            None,
        )
        builder = builder.responder_id(self.named, self.signer.certificate)
        if self.shown:
            builder = builder.certificates(self.shown)
        if (echoed := self.nonce(nonce)) is not None:
            builder = builder.add_extension(x509.OCSPNonce(echoed), critical=False)
        return builder.sign(self.signer.key, self.hashed).public_bytes(serialization.Encoding.DER)

    def names(self) -> tuple[bytes, bytes]:
        """The hashes of the authority's name and key."""
        issued, own = self.authority.issue().certificate, self.authority.certificate
        built = ocsp.OCSPRequestBuilder().add_certificate(issued, own, NAMED_WITH).build()
        return built.issuer_name_hash, built.issuer_key_hash


class Publisher:
    """One server."""

    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}
        self.responders: dict[str, Responder] = {}
        self.handlers: dict[str, Handler] = {}
        """What answers at a path instead."""
        self.asked: list[str] = []
        self.hold = asyncio.Event()
        """Handlers that hang wait for it; set when the server stops."""
        self.tagged = False
        """Whether lists carry an ETag."""
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Again at the same port, after `stop`."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        self.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def publish(self, path: str, crl: x509.CertificateRevocationList) -> str:
        """A list, and its URL."""
        self.documents[path] = crl.public_bytes(serialization.Encoding.DER)
        return self.url(path)

    def answer(self, path: str, responder: Responder) -> str:
        """A responder, and its URL."""
        self.responders[path] = responder
        return self.url(path)

    async def hang(self, request: web.Request) -> web.StreamResponse:
        await self.hold.wait()
        raise web.HTTPServiceUnavailable

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.hold.is_set():
            await response.write(b"0" * 65536)
        return response

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path in self.handlers:
            return await self.handlers[path](request)
        if path in self.responders and request.method == "POST":
            body = self.responders[path].answer(await request.read())
            return web.Response(body=body, content_type="application/ocsp-response")
        if path in self.documents:
            return self._document(request, self.documents[path])
        raise web.HTTPNotFound

    def _document(self, request: web.Request, body: bytes) -> web.Response:
        tag = f'"{hash(body):x}"'
        if self.tagged and request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        return web.Response(body=body, headers={"ETag": tag} if self.tagged else {})
