"""The shape of the policy's input document: one struct a part, every field always present.

`ztproxy.policy.document` writes what is described here; `input.schema.json` and docs/policy-input.md are made from it
by `python -m ztproxy.policy.reference`, and a test keeps all three alike.
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Hex = Annotated[str, Meta(pattern="^[0-9a-f]+$")]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Time = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")]


class Part(msgspec.Struct, forbid_unknown_fields=True):
    """A part of the input document."""


class RequestPart(Part):
    """What exactly was asked."""

    id: Annotated[Text, Meta(description="The request's id, as in every log and in X-Request-Id.")]
    method: Annotated[Text, Meta(description="As received; methods are case-sensitive (RFC 9110 §9.1).")]
    scheme: Annotated[Text, Meta(description="https or http, after trusted proxies.")]
    host: Annotated[Text, Meta(description="Lower case, without port; IPv6 literals without brackets.")]
    port: Annotated[Port, Meta(description="The port asked for; the scheme's own when the request named none.")]
    path: Annotated[str, Meta(pattern="^/", description="As received and as forwarded: it has one canonical spelling.")]
    segments: Annotated[
        list[str],
        Meta(description='The path\'s decoded parts: / is [], /api/x is ["api", "x"], /api/ is ["api", ""].'),
    ]
    query: Annotated[
        dict[str, list[str]],
        Meta(
            description="Decoded as a form: + is a space, & alone separates. Values of a name in order; {} if none. "
            "Without `access_token` and its like."
        ),
    ]
    headers: Annotated[
        dict[str, list[str]],
        Meta(
            description="Names in lower case, values in order, octets above 127 as Latin-1. Fields that carry "
            "credentials never enter, nor those that the proxy or the policy sets."
        ),
    ]
    route: Annotated[Text, Meta(description="The route's name in the configuration.")]
    protocol: Annotated[Text, Meta(description="HTTP/1.1 or HTTP/1.0.")]


class SourcePart(Part):
    """Where it came from; never a reason to trust it."""

    address: Annotated[Text | None, Meta(description="The client's address after trusted proxies; null on a socket.")]
    port: Annotated[Port | None, Meta(description="Its port; null where a trusted proxy stands in between.")]
    peer: Annotated[Text | None, Meta(description="The address on the socket; null on a Unix socket.")]


class TlsPart(Part):
    """What the handshake settled; null on a plaintext listener."""

    version: Annotated[Text, Meta(description="TLSv1.2 or TLSv1.3.")]
    cipher: Annotated[Text, Meta(description="OpenSSL's name of the cipher suite.")]
    server_name: Annotated[Text | None, Meta(description="The name that the client asked for (SNI), lower case.")]


class SansPart(Part):
    """Subject alternative names by type; compare within one type only."""

    dns: Annotated[list[str], Meta(description="DNS names.")]
    uri: Annotated[list[str], Meta(description="URIs, a SPIFFE ID among them.")]
    email: Annotated[list[str], Meta(description="Mail addresses.")]
    ip: Annotated[list[str], Meta(description="IP addresses.")]


class CertificatePart(Part):
    """The client's certificate, verified and fit for use on this route; null when it showed none."""

    subject: Annotated[str, Meta(description="The distinguished name (RFC 4514).")]
    common_name: Annotated[str | None, Meta(description="The subject's common name.")]
    sans: Annotated[SansPart, Meta(description="Subject alternative names by type.")]
    spiffe_id: Annotated[str | None, Meta(description="The SPIFFE ID, when the certificate is an X.509-SVID.")]
    issuer: Annotated[str, Meta(description="The issuer's distinguished name (RFC 4514).")]
    serial: Annotated[Hex, Meta(description="The serial number, lower-case hex.")]
    fingerprint: Annotated[Sha256, Meta(description="SHA-256 over the DER encoding, lower-case hex.")]
    not_before: Annotated[Time, Meta(description="Start of its validity, RFC 3339 in UTC.")]
    not_after: Annotated[Time, Meta(description="End of its validity, RFC 3339 in UTC.")]
    revocation: Annotated[Text, Meta(description="good; unchecked: nothing is configured, or not known and let in.")]


class TokenPart(Part):
    """The token, verified: signature, issuer, audience and times; null when the request carried none."""

    issuer: Annotated[Text, Meta(description="The claim iss: one of the configured issuers, exactly.")]
    subject: Annotated[Text, Meta(description="The claim sub; unique within its issuer only.")]
    audience: Annotated[list[str], Meta(description="The claim aud, always as a list.")]
    claims: Annotated[dict[str, Any], Meta(description="All claims as the issuer signed them.")]
    kind: Annotated[
        Text,
        Meta(description="jwt, access (typ at+jwt, RFC 9068), opaque (by introspection) or session (a browser's)."),
    ]
    bound_to: Annotated[
        str | None,
        Meta(
            description="The fingerprint of the certificate that it is bound to, which was shown (RFC 8705); or null."
        ),
    ]
    bound_key: Annotated[
        str | None,
        Meta(description="The thumbprint of the key that it is bound to, which was proven (RFC 9449); or null."),
    ]
    issued_at: Annotated[Time | None, Meta(description="The claim iat, RFC 3339 in UTC.")]
    expires_at: Annotated[Time, Meta(description="The claim exp, RFC 3339 in UTC.")]
    groups: Annotated[
        list[str], Meta(description="The groups that the issuer's `groups` make of its claims; [] if none.")
    ]
    roles: Annotated[list[str], Meta(description="The roles that these groups have there; [] if none.")]


class InputDocument(Part):
    """What a policy is asked about: `input`. Every field is always present, null where there is nothing to say."""

    request: Annotated[RequestPart, Meta(description="What exactly was asked.")]
    source: Annotated[SourcePart, Meta(description="Where it came from; never a reason to trust it.")]
    tls: Annotated[TlsPart | None, Meta(description="What the handshake settled; null on a plaintext listener.")]
    certificate: Annotated[CertificatePart | None, Meta(description="The client's certificate; null without one.")]
    token: Annotated[TokenPart | None, Meta(description="The verified token; null without one.")]


PARTS: dict[str, type[Part]] = {
    "request": RequestPart,
    "source": SourcePart,
    "tls": TlsPart,
    "certificate": CertificatePart,
    "token": TokenPart,
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the input document; strict, no key beyond those described."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Input document of a ztproxy policy",
        **msgspec.json.schema(InputDocument),
    }


def misfit(document: object) -> str | None:
    """What is wrong with a decoded input document, in one sentence with the place; None when it is as described."""
    try:
        msgspec.convert(document, InputDocument)
    except msgspec.ValidationError as wrong:
        return str(wrong).replace("`$.", "`input.").replace("`$`", "`input`")
    return None


def complete(document: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The document with every missing field set to null, and the names of those; for input written by hand."""
    missing: list[str] = []
    whole = _filled(document, InputDocument, "input", missing)
    return whole, missing


def _filled(given: dict[str, Any], part: type[Part], place: str, missing: list[str]) -> dict[str, Any]:
    whole = dict(given)
    for name in part.__struct_fields__:
        inner = PARTS.get(name) if part is InputDocument else (SansPart if name == "sans" else None)
        if name not in whole:
            missing.append(f"{place}.{name}")
            whole[name] = None
        elif inner is not None and isinstance(whole[name], dict):
            whole[name] = _filled(whole[name], inner, f"{place}.{name}", missing)
    return whole
