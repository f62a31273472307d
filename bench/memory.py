"""Both ends of a connection in memory: a transport that keeps what is written, and a client over mTLS."""

import asyncio
import base64
import functools
import hashlib
import itertools
import ssl
import time
from typing import Any

import credentials
import jwt
import peers
from cryptography.hazmat.primitives import serialization

CONNECTIONS = 32
BROWSER = (
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.9\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\nCache-Control: no-cache\r\nPragma: no-cache\r\nSec-Fetch-Dest: document\r\n"
    b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nUpgrade-Insecure-Requests: 1\r\n"
)


class Prover:
    """Makes DPoP proofs (RFC 9449) with a run's `holder.key`."""

    def __init__(self, here: peers.Site) -> None:
        self._key = serialization.load_pem_private_key((here.run / "holder.key").read_bytes(), None)
        self._jwk = jwt.algorithms.ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self._made = itertools.count()

    def proof(self, method: str, url: str, token: str) -> bytes:
        """One for one request."""
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        claims = {"jti": f"{next(self._made)}", "htm": method, "htu": url, "iat": int(time.time()), "ath": digest}
        return jwt.encode(claims, self._key, "ES256", {"typ": "dpop+jwt", "jwk": self._jwk}).encode()


class Memory(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self._port = port

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def writelines(self, pieces: Any) -> None:
        self.written.append(b"".join(pieces))

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", self._port), "sockname": ("127.0.0.1", 8443)}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def is_closing(self) -> bool:
        return False

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...

    def take(self) -> bytes:
        """Everything written since."""
        data = b"".join(self.written)
        self.written.clear()
        return data


@functools.cache
def _context(here: peers.Site) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(here.run / "server.pem"))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(here.run / "client.pem", here.run / "client.key")
    return context


class Client:
    """A client over mTLS that shares our memory."""

    def __init__(
        self,
        here: peers.Site,
        protocol: asyncio.Protocol,
        number: int,
        shown: str,
        prover: Prover | None = None,
    ) -> None:
        self.protocol = protocol
        self.transport = Memory(20_000 + number)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = _context(here).wrap_bio(self._in, self._out, server_hostname=credentials.NAME)
        self._fields = f"Host: {credentials.NAME}\r\n{shown}\r\n".encode()
        self._token, self._prover = shown.rpartition(" ")[2], prover
        self._number = number

    def connect(self) -> None:
        """Shake hands."""
        self.protocol.connection_made(self.transport)
        while True:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            if data := self._out.read():
                self.protocol.data_received(data)
            if data := self.transport.take():
                self._in.write(data)
            if done:
                return

    def ask(self, turn: int, *, unique: bool, browser: bool) -> bytes:
        """A request, encrypted."""
        path = f"/api/items/{turn * CONNECTIONS + self._number if unique else 1}"
        fields = self._fields + (BROWSER if browser else b"")
        if self._prover is not None:
            fields += b"DPoP: %b\r\n" % self._prover.proof("GET", f"https://{credentials.NAME}{path}", self._token)
        self._tls.write(f"GET {path} HTTP/1.1\r\n".encode() + fields + b"\r\n")
        return self._out.read()

    def answer(self) -> bytes:
        """What was answered, decrypted."""
        self._in.write(self.transport.take())
        pieces = []
        try:
            while piece := self._tls.read(65536):
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return b"".join(pieces)
