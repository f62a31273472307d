"""Makes what the parties of a run show one another: authorities, certificates, the issuer's keys and tokens."""

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import pathlib
import time
from dataclasses import dataclass

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NAME = "bench.example"
WORKLOAD = "spiffe://bench.example/ns/shop/sa/frontend"
AUDIENCE = "ztproxy"
KEY_ID = "bench-1"
TOKENS = 32  # one to a connection
LIFETIME = 12 * 3600  # seconds


@dataclass(frozen=True)
class Authority:
    """A certificate authority of this run only."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    path: pathlib.Path


def _builder(subject: str, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(seconds=LIFETIME))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def authority(folder: pathlib.Path, name: str) -> Authority:
    """Make a certificate authority and write its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(certificate, key, path)


def leaf(issuer: Authority, folder: pathlib.Path, name: str, names: list[x509.GeneralName], *, server: bool) -> None:
    """Make an ECDSA P-256 certificate with its key, as `NAME.pem` and `NAME.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
    certificate = (
        _builder(name, issuer.certificate.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    written = folder / f"{name}.key"
    written.touch(mode=0o600)
    written.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def make_certificates(folder: pathlib.Path) -> None:
    """Write server, client and issuer certificates, each pair under an authority of its own."""
    loopback = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    leaf(authority(folder, "server-ca"), folder, "server", [x509.DNSName(NAME)], server=True)
    leaf(authority(folder, "client-ca"), folder, "client", [x509.UniformResourceIdentifier(WORKLOAD)], server=False)
    leaf(authority(folder, "issuer-ca"), folder, "issuer", loopback, server=True)


def make_tokens(folder: pathlib.Path, issuer: str) -> None:
    """Write the issuer's key set and RS256 tokens.

    `tokens`, `editor-tokens` (who may also upload) and `bound-tokens` (to the key in `holder.key`, DPoP) hold one for
    each connection; the policy's data revokes the one in `revoked-token`.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    public |= {"kid": KEY_ID, "use": "sig", "alg": "RS256"}
    public.pop("key_ops", None)
    (folder / "jwks.json").write_text(json.dumps({"keys": [public]}))
    claims = {"iss": issuer, "aud": AUDIENCE, "roles": ["role-7", "role-31"], "workload": WORKLOAD}

    holder = _holder(folder)

    def token(number: int, token_id: str, *more: str, **bound: object) -> str:
        now = int(time.time())
        own = {"sub": f"user-{number}", "iat": now - 1, "exp": now + LIFETIME, "jti": token_id}
        own |= {"roles": [*claims["roles"], *more]}
        return jwt.encode(claims | own | bound, key, algorithm="RS256", headers={"kid": KEY_ID})

    (folder / "tokens").write_text("\n".join(token(number, f"token-{number}") for number in range(TOKENS)))
    (folder / "editor-tokens").write_text("\n".join(token(n, f"editor-{n}", "editor") for n in range(TOKENS)))
    bound = (token(number, f"bound-{number}", cnf={"jkt": holder}) for number in range(TOKENS))
    (folder / "bound-tokens").write_text("\n".join(bound))
    (folder / "revoked-token").write_text(token(0, "revoked-0"))


def _holder(folder: pathlib.Path) -> str:
    """Write the key that clients prove, as `holder.key`, and give its thumbprint (RFC 7638)."""
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "holder.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
