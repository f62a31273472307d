"""Trust domains for tests: real authorities and SVIDs of any shape, bundles, and a Workload API over real gRPC."""

import base64
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.pki import CLIENT, SERVER, Authority, Leaf, key_pem, pem_of
from tests.tokens import encode, private_key, public_jwk, signer
from ztproxy.spiffe import svid
from ztproxy.spiffe.workload import Bundle, Workload

BOTH = (SERVER, CLIENT)


def usage(*names: str) -> x509.KeyUsage:
    """A key usage of these alone."""
    of = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in of})


class Domain:
    """A trust domain: its authority, and the key that signs its JWT-SVIDs."""

    def __init__(self, name: str = "prod.example", key_id: str = "jwt-1") -> None:
        self.name = name
        self.authority = Authority.new(f"Authority of {name}")
        self.key_id = key_id
        self.key = private_key("ES256", f"{name} {key_id}")

    def id(self, path: str) -> str:
        return f"spiffe://{self.name}{path}"

    def svid(self, path: str = "/orders", *, uri: list[str] | None = None, **options: Any) -> Leaf:
        """An X509-SVID; `uri` names others in place of its ID."""
        options.setdefault("eku", BOTH)
        return self.authority.issue(None, uri=[self.id(path)] if uri is None else uri, **options)

    def jwk(self) -> dict[str, Any]:
        return public_jwk(self.key, kid=self.key_id, use="jwt-svid")

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.jwk()]}).encode()

    def bundle(self, *authorities: Authority) -> dict[str, Any]:
        """A SPIFFE bundle: our authority's certificate or others', and the key of JWT-SVIDs."""
        x5c = [base64.b64encode(one.der).decode() for one in authorities or (self.authority,)]
        return {
            "spiffe_sequence": 1,
            "spiffe_refresh_hint": 300,
            "keys": [*({"use": "x509-svid", "kty": "EC", "x5c": [one]} for one in x5c), self.jwk()],
        }

    def write_bundle(self, folder: Path, *authorities: Authority, pem: bool = False) -> Path:
        path = folder / f"{self.name}.{'pem' if pem else 'json'}"
        made = [one.certificate for one in authorities or (self.authority,)]
        content = pem_of(made) if pem else json.dumps(self.bundle(*authorities)).encode()
        replacing = path.with_suffix(".new")
        replacing.write_bytes(content)
        replacing.replace(path)
        return path

    def write_svid(self, folder: Path, path: str = "/orders", **options: Any) -> Leaf:
        """`svid.pem` and `svid.key` in `folder`, each in one step."""
        leaf = self.svid(path, **options)
        for suffix, content in ((".pem", pem_of((leaf.certificate, *leaf.intermediates))), (".key", key_pem(leaf.key))):
            new = folder / f"svid{suffix}.new"
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(content)
            new.replace(folder / f"svid{suffix}")
        return leaf

    def token(self, path: str = "/orders", *, header: dict[str, Any] | None = None, **claims: Any) -> bytes:
        """A JWT-SVID: no `iss`, for `ztproxy`, good for as long as anybody's clock may say."""
        said = {"sub": self.id(path), "aud": ["ztproxy"], "exp": 4_000_000_000} | claims
        return encode(
            {"alg": "ES256", "kid": self.key_id, "typ": "JWT"} | (header or {}), said, signer("ES256", self.key)
        )


def workload(ours: Domain, *federated: Domain, shown: Leaf | None = None) -> Workload:
    """What a proxy knows of some domains, and the SVID that it shows."""
    bundles = {one.name: Bundle((one.authority.der,), one.jwks()) for one in (ours, *federated)}
    if shown is None:
        return Workload("a test", None, bundles)
    return Workload(
        "a test", svid.own([shown.certificate, *shown.intermediates], shown.key, ours.name, "a test", 0.0), bundles
    )


class WorkloadApi:
    """A SPIFFE Workload API on a Unix socket, which hands out whatever the test says it does.

    `svids` are pairs of an ID and a leaf; `federated` and `keys` are by trust domain.
    """

    def __init__(self, socket: Path) -> None:
        self.path = socket
        self.svids: list[tuple[str, Leaf]] = []
        self.bundle = b""
        self.federated: dict[str, bytes] = {}
        self.keys: dict[str, bytes] = {}
        self.callers: list[dict[str, str]] = []
        self._changed = threading.Condition()
        self._version = 0
        self._server: grpc.Server | None = None

    def hands_out(self, domain: Domain, *leaves: Leaf, authorities: tuple[Authority, ...] | None = None) -> None:
        """SVIDs of a domain, and its bundle; whoever listens is told."""
        trusted = (domain.authority,) if authorities is None else authorities
        self.bundle = b"".join(one.der for one in trusted)
        self.svids = [(_id_of(leaf), leaf) for leaf in leaves]
        self.keys = {domain.id(""): domain.jwks()} | {
            name: keys for name, keys in self.keys.items() if name != domain.id("")
        }
        self.tell()

    def tell(self) -> None:
        """Whoever listens."""
        with self._changed:
            self._version += 1
            self._changed.notify_all()

    def start(self) -> None:
        from spiffe._proto import workload_pb2_grpc

        self._server = grpc.server(ThreadPoolExecutor(16))
        workload_pb2_grpc.add_SpiffeWorkloadAPIServicer_to_server(_Servicer(self), self._server)
        self._server.add_insecure_port(f"unix:{self.path}")
        self._server.start()

    def stop(self) -> None:
        """Die, with all streams."""
        if self._server is not None:
            server, self._server = self._server, None
            with self._changed:
                self._changed.notify_all()
            server.stop(0).wait()

    def stream(self, context: grpc.ServicerContext, answer: Any) -> Any:
        self.callers.append(dict(context.invocation_metadata()))
        if dict(context.invocation_metadata()).get("workload.spiffe.io") != "true":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "security header missing")
        version, server = -1, self._server
        while self._server is server and context.is_active():
            with self._changed:
                self._changed.wait_for(lambda: self._version != version or self._server is not server, timeout=1)  # noqa: B023
                now = self._version
            if now != version:
                version = now
                yield answer()


class _Servicer:
    def __init__(self, api: WorkloadApi) -> None:
        from spiffe._proto import workload_pb2

        self._api = api
        self._messages = workload_pb2

    def FetchX509SVID(self, request, context):  # noqa: N802 - the protocol's name
        def answer():
            api, messages = self._api, self._messages
            svids = [
                messages.X509SVID(
                    spiffe_id=name,
                    x509_svid=leaf.der
                    + b"".join(one.public_bytes(serialization.Encoding.DER) for one in leaf.intermediates),
                    x509_svid_key=leaf.key.private_bytes(
                        serialization.Encoding.DER,
                        serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption(),
                    ),
                    bundle=api.bundle,
                )
                for name, leaf in api.svids
            ]
            return messages.X509SVIDResponse(svids=svids, federated_bundles=api.federated)

        yield from self._api.stream(context, answer)

    def FetchJWTBundles(self, request, context):  # noqa: N802 - likewise
        yield from self._api.stream(context, lambda: self._messages.JWTBundlesResponse(bundles=self._api.keys))

    def FetchX509Bundles(self, request, context):  # noqa: N802 - likewise
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "not asked for")

    FetchJWTSVID = ValidateJWTSVID = FetchX509Bundles


def _id_of(leaf: Leaf) -> str:
    names = leaf.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)[0]
