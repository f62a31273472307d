"""What the demo makes is of no use outside of it: its authority, its issuer, its ports."""

import contextlib
import datetime as dt
import re
import socket
import ssl

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.pki import Leaf
from ztproxy.demo import pki, world

NAMES = ["bank.example", "localhost.example", "localhost"]


@pytest.fixture
def authority(tmp_path):
    return pki.Authority(tmp_path, dt.datetime.now(dt.UTC))


def issued(authority: pki.Authority, name: str) -> Leaf:
    """A server's certificate for any name, signed by whoever found the demo's key."""
    from cryptography import x509

    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        authority._builder(pki._name(name), key.public_key())
        .add_extension(x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(authority._key, hashes.SHA256())
    )
    return Leaf(certificate, key)


def shake_hands(server: ssl.SSLObject, client: ssl.SSLObject, wires: list[tuple[ssl.MemoryBIO, ssl.MemoryBIO]]) -> None:
    for _ in range(10):
        for side in (client, server):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
            for sent, received in wires:
                received.write(sent.read())


@pytest.mark.parametrize("name", NAMES)
def test_its_authority_vouches_for_localhost_alone(authority, tmp_path, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued(authority, name).write(tmp_path))
    to_server, to_client, from_client, from_server = (ssl.MemoryBIO() for _ in range(4))
    server = context.wrap_bio(to_server, from_server, server_side=True)
    client = ssl.create_default_context(cafile=str(authority.file)).wrap_bio(
        to_client, from_client, server_hostname=name
    )
    wires = [(from_client, to_server), (from_server, to_client)]
    if name == "localhost":
        shake_hands(server, client, wires)
        assert client.version() == "TLSv1.3"
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
            shake_hands(server, client, wires)


def test_its_authority_lives_a_day(authority):
    certificate = authority.certificate
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc < dt.timedelta(days=1, hours=1)


@pytest.mark.slow
async def test_everything_listens_on_loopback(tmp_path):
    """A socket that listens on all addresses answers at 127.0.0.2 too; one of 127.0.0.1 does not."""
    async with world.running(tmp_path / "demo", 0) as made:
        configuration = (made.folder / "ztproxy.yaml").read_text()
        ports = {int(port) for port in re.findall(r"(?:127\.0\.0\.1|0\.0\.0\.0|localhost):(\d+)", configuration)}
        assert {made.port, made.issuer._port} < ports
        assert len(ports) == 4
        for port in ports:
            socket.create_connection(("127.0.0.1", port), 1).close()
            with pytest.raises(OSError):
                socket.create_connection(("127.0.0.2", port), 1)
