"""An authority kept by the `openssl` program, which shares no code with what is tested.

authority = OpenSsl(folder, ROOT)
authority.revoke(leaf)
authority.crl()                       # DER, by `openssl ca -gencrl`
authority.answer(request)             # DER, by `openssl ocsp`
async with authority.responder() as url: ...
"""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.functional.ports import free_port
from tests.pki import Authority, Leaf, key_pem, pem_of

PROGRAM = shutil.which("openssl")
needs_openssl = pytest.mark.skipif(PROGRAM is None, reason="needs the openssl program")
_CONFIGURATION = """\
[ca]
default_ca = this
[this]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
default_crl_days = 1
crl_extensions = crl
policy = any
[any]
commonName = optional
[crl]
authorityKeyIdentifier = keyid:always
"""


class OpenSsl:
    """The files that `openssl ca` keeps of an authority."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        folder.mkdir()
        self.folder = folder
        self.authority = authority
        authority.write(folder, "ca")
        (folder / "ca.key").write_bytes(key_pem(authority.key))
        (folder / "index.txt").touch()
        (folder / "index.txt.attr").write_text("unique_subject = no\n")
        (folder / "crlnumber").write_text("1000\n")
        (folder / "openssl.cnf").write_text(_CONFIGURATION.format(folder=folder))

    def knows(self, *leaves: Leaf) -> None:
        """Certificates that it issued and that are good."""
        with (self.folder / "index.txt").open("a") as index:
            for leaf in leaves:
                certificate = leaf.certificate
                end = certificate.not_valid_after_utc.strftime("%y%m%d%H%M%SZ")
                serial = f"{certificate.serial_number:X}"
                serial = serial.rjust(len(serial) + len(serial) % 2, "0")
                index.write(f"V\t{end}\t\t{serial}\tunknown\t/{certificate.subject.rfc4514_string()}\n")

    def revoke(self, leaf: Leaf, reason: str = "keyCompromise") -> None:
        """Revoke one that it knows."""
        file = self.folder / "revoked.pem"
        file.write_bytes(pem_of([leaf.certificate]))
        self._run("ca", "-config", "openssl.cnf", "-revoke", str(file), "-crl_reason", reason)

    def crl(self, *options: str) -> bytes:
        """A list of what was revoked, DER."""
        self._run("ca", "-config", "openssl.cnf", "-gencrl", "-out", "list.pem", *options)
        self._run("crl", "-in", "list.pem", "-outform", "DER", "-out", "list.der")
        return (self.folder / "list.der").read_bytes()

    def answer(self, request: bytes, *options: str, signer: Leaf | None = None) -> bytes:
        """The answer to a request, DER."""
        (self.folder / "request.der").write_bytes(request)
        self._run("ocsp", *self._responding(signer), "-reqin", "request.der", "-respout", "answer.der", *options)
        return (self.folder / "answer.der").read_bytes()

    @contextlib.asynccontextmanager
    async def responder(self, signer: Leaf | None = None) -> AsyncIterator[str]:
        """A responder of its own on loopback, and its URL."""
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            str(PROGRAM), "ocsp", *self._responding(signer), "-port", str(port), "-nmin", "60",
            cwd=self.folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            async with asyncio.timeout(20):
                while b"waiting for OCSP client connections" not in (line := await process.stderr.readline()):
                    assert line, "the responder ended"
            yield f"http://127.0.0.1:{port}/"
        finally:
            process.kill()
            await process.communicate()

    def _responding(self, signer: Leaf | None) -> list[str]:
        certificate, key = self.folder / "ca.pem", self.folder / "ca.key"
        if signer is not None:
            certificate, key = signer.write(self.folder, "signer")
        return ["-index", "index.txt", "-CA", "ca.pem", "-rsigner", str(certificate), "-rkey", str(key)]

    def _run(self, *words: str) -> None:
        done = subprocess.run([str(PROGRAM), *words], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
