"""A small public key infrastructure for tests: real authorities, certificates of any shape, revocation lists."""

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
ANY = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
DAY = dt.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def new_key(kind: str = "ec") -> Key:
    """`ec` (P-256) or `rsa` (2048 bits)."""
    if kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common_name: str | None) -> x509.Name:
    return x509.Name([] if common_name is None else [x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def key_pem(key: Any) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass(frozen=True)
class Leaf:
    """A certificate, its key and the intermediates that belong to it."""

    certificate: x509.Certificate
    key: Any
    intermediates: tuple[x509.Certificate, ...] = ()

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @cached_property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path, name: str = "leaf") -> tuple[Path, Path]:
        """`name.pem` (with intermediates) and `name.key` (mode 0600) in `folder`."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(pem_of((self.certificate, *self.intermediates)))
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key_pem(self.key))
        return certificate, key

    def issue(self, common_name: str = "issued by a leaf", **options: Any) -> "Leaf":
        """What a leaf that poses as an authority would issue."""
        posing = Authority(self.certificate, self.key, self)
        leaf = posing.issue(common_name, **options)
        return Leaf(leaf.certificate, leaf.key, (self.certificate, *self.intermediates))


@dataclass(frozen=True)
class Authority:
    """An authority that issues certificates, subordinates and revocation lists."""

    certificate: x509.Certificate
    key: Any
    parent: "Authority | Leaf | None" = None

    @classmethod
    def new(
        cls,
        common_name: str = "Test Root",
        *,
        key: Any = None,
        path_length: int | None = None,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Self:
        """A self-signed root."""
        key = key or new_key()
        builder = _authority_builder(common_name, key, path_length, not_before, not_after, extensions)
        builder = builder.issuer_name(name_of(common_name))
        return cls(builder.sign(key, hashes.SHA256()), key)

    def subordinate(
        self,
        common_name: str = "Test Intermediate",
        *,
        key: Any = None,
        path_length: int | None = 0,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> "Authority":
        key = key or new_key()
        builder = _authority_builder(common_name, key, path_length, not_before, not_after, extensions)
        builder = builder.issuer_name(self.certificate.subject).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        return Authority(builder.sign(self.key, hashes.SHA256()), key, self)

    @property
    def intermediates(self) -> tuple[x509.Certificate, ...]:
        """What a leaf of this authority sends along: every authority but the root."""
        if isinstance(self.parent, Authority):
            return (self.certificate, *self.parent.intermediates)
        return ()

    def issue(
        self,
        common_name: str | None = "client",
        *,
        dns: Sequence[str] = (),
        uri: Sequence[str] = (),
        email: Sequence[str] = (),
        ip: Sequence[str] = (),
        eku: Sequence[ObjectIdentifier] | None = (CLIENT,),
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        ca: bool = False,
        key: Any = None,
        serial: int | None = None,
        subject: x509.Name | None = None,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> Leaf:
        """A leaf, by default for a client; `eku=None` leaves extended key usage out."""
        key = key or new_key()
        sans: list[x509.GeneralName] = [
            *map(x509.DNSName, dns),
            *map(x509.UniformResourceIdentifier, uri),
            *map(x509.RFC822Name, email),
            *(x509.IPAddress(ipaddress.ip_address(value)) for value in ip),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject if subject is not None else name_of(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(serial or x509.random_serial_number())
            .not_valid_before(not_before or now() - DAY)
            .not_valid_after(not_after or now() + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(authority=ca), critical=True)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=common_name is None)
        if eku is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        return Leaf(builder.sign(self.key, hashes.SHA256()), key, self.intermediates)

    def server(self, *names: str, **options: Any) -> Leaf:
        """A server's certificate for DNS names (`localhost` and 127.0.0.1 when none are given)."""
        options.setdefault("eku", (SERVER,))
        if not names:
            return self.issue("localhost", dns=["localhost"], ip=["127.0.0.1", "::1"], **options)
        return self.issue(names[0], dns=names, **options)

    def version_1(self, common_name: str = "client v1") -> Leaf:
        """A certificate of X.509 version 1, which has no extensions at all."""
        leaf = self.issue(common_name, eku=None)
        return Leaf(_as_version_1(leaf.certificate, self.key), leaf.key, self.intermediates)

    def numbered(self, serial: int, common_name: str = "numbered") -> Leaf:
        """A leaf with any serial number; `cryptography` makes none of more than 159 bits."""
        leaf = self.issue(common_name)
        return Leaf(_renumbered(leaf.certificate, self.key, serial), leaf.key, self.intermediates)

    def crl(
        self,
        *revoked: Leaf | x509.Certificate | int,
        last_update: dt.datetime | None = None,
        next_update: dt.datetime | None = None,
        key: Any = None,
        number: int = 1,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.CertificateRevocationList:
        """A revocation list of ours; another `key` forges it."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(last_update or now() - DAY)
            .next_update(next_update or now() + DAY)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        for one in revoked:
            serial = one if isinstance(one, int) else getattr(one, "certificate", one).serial_number
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now() - DAY)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(key or self.key, hashes.SHA256())

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def pem(self) -> bytes:
        return pem_of((self.certificate,))

    def write(self, folder: Path, name: str = "ca") -> Path:
        """`name.pem` in `folder`."""
        path = folder / f"{name}.pem"
        path.write_bytes(self.pem)
        return path

    def write_crl(self, folder: Path, *revoked: Leaf, name: str = "ca.crl", **options: Any) -> Path:
        path = folder / name
        path.write_bytes(self.crl(*revoked, **options).public_bytes(serialization.Encoding.PEM))
        return path


def self_signed(common_name: str = "self-signed", **options: Any) -> Leaf:
    """A leaf that nobody but itself vouches for."""
    key = new_key()
    issuer = Authority.new(common_name, key=key)
    return Leaf(issuer.issue(common_name, key=key, **options).certificate, key)


def client_context(
    trust: Authority,
    leaf: Leaf | None = None,
    folder: Path | None = None,
    *,
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    check_hostname: bool = True,
) -> ssl.SSLContext:
    """A client's context that trusts `trust` and shows `leaf` (written to `folder`) when asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    context.maximum_version = maximum
    context.load_verify_locations(cadata=trust.pem.decode())
    if leaf is not None:
        if folder is None:
            raise ValueError("a folder is needed to write the client's certificate to")
        context.load_cert_chain(*leaf.write(folder, f"client-{leaf.fingerprint[:16]}"))
    return context


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_builder(  # noqa: PLR0917 - private, and called with all of them
    common_name: str,
    key: Any,
    path_length: int | None,
    not_before: dt.datetime | None,
    not_after: dt.datetime | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before or now() - DAY)
        .not_valid_after(not_after or now() + 365 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=True), critical=True)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content


def _elements(content: bytes) -> list[bytes]:
    found = []
    while content:
        length, start = content[1], 2
        if length & 0x80:
            start = 2 + (length & 0x7F)
            length = int.from_bytes(content[2:start], "big")
        found.append(content[: start + length])
        content = content[start + length :]
    return found


def _fields(certificate: x509.Certificate) -> list[bytes]:
    outer = certificate.tbs_certificate_bytes
    return _elements(outer[2 + (outer[1] & 0x7F) if outer[1] & 0x80 else 2 :])


def _signed(fields: Sequence[bytes], algorithm: bytes, signer: Any) -> x509.Certificate:
    body = _tlv(0x30, b"".join(fields))
    signature = signer.sign(body, ec.ECDSA(hashes.SHA256()))
    return x509.load_der_x509_certificate(_tlv(0x30, body + algorithm + _tlv(0x03, b"\0" + signature)))


def _renumbered(certificate: x509.Certificate, signer: Any, serial: int) -> x509.Certificate:
    fields = _fields(certificate)
    number = _tlv(0x02, serial.to_bytes(serial.bit_length() // 8 + 1, "big"))
    return _signed([fields[0], number, *fields[2:]], fields[2], signer)


def _as_version_1(certificate: x509.Certificate, signer: Any) -> x509.Certificate:
    """The same certificate without version and extensions, signed anew (`cryptography` builds none but version 3)."""
    fields = [element for element in _fields(certificate) if element[0] not in (0xA0, 0xA3)]
    return _signed(fields, fields[1], signer)
