"""Header names that decide who somebody is: those that we set, and those that applications commonly believe.

A client that could send one would pose as a proxy that had verified something. Names are compared folded: lower case,
and every octet that is no letter or digit as `-`, because CGI, WSGI and their kin turn them all into `_`
(CVE-2025-64484, CVE-2026-30851).
"""

_FOLD = bytes(c if chr(c).isalnum() and c < 128 else 0x2D for c in (bytes(range(256)).lower()))  # noqa: PLR2004 - ASCII

OURS = frozenset({b"forwarded", b"x-real-ip", b"x-request-id"})
"""Names that we set, or that say what ours say. No route can keep a client's."""
OURS_PREFIXES = (b"x-ztproxy", b"x-forwarded", b"client-cert")
"""Likewise, by their beginning."""

BELIEVED = frozenset(
    {
        b"cf-connecting-ip", b"cf-connecting-ipv6", b"fastly-client-ip", b"front-end-https", b"true-client-ip",
        b"wl-proxy-client-ip", b"x-accel-mapping", b"x-anonymous-consumer", b"x-apigateway-api-userinfo",
        b"x-arr-clientcert", b"x-arr-ssl", b"x-auth-email", b"x-auth-groups", b"x-auth-roles", b"x-auth-subject",
        b"x-auth-user", b"x-auth-username", b"x-azure-clientip", b"x-azure-socketip", b"x-client-dn", b"x-client-ip",
        b"x-cluster-client-ip", b"x-endpoint-api-userinfo", b"x-host", b"x-http-host-override", b"x-http-method",
        b"x-http-method-override", b"x-method-override", b"x-scheme", b"x-sendfile-type", b"x-url-scheme",
    }
)  # fmt: skip
"""Names that applications and frameworks take for the word of a proxy; `keep_headers` of a route passes one on."""
BELIEVED_PREFIXES = (
    b"cf-access-", b"impersonate-", b"l5d-", b"mellon-", b"oidc-", b"remote-", b"shib-", b"ssl-", b"tls-client-",
    b"x-amzn-oidc-", b"x-appengine-", b"x-auth-request-", b"x-authenticated-", b"x-authentik-", b"x-client-cert",
    b"x-consumer-", b"x-credential-", b"x-envoy-", b"x-goog-authenticated-", b"x-goog-iap-", b"x-middleware-",
    b"x-ms-client-principal", b"x-ms-token-", b"x-oidc-", b"x-original-", b"x-pomerium-", b"x-remote-", b"x-rewrite-",
    b"x-ssl-", b"x-tls-client-", b"x-vouch-", b"x-webauth-",
)  # fmt: skip
"""Likewise, by their beginning."""

OWN_COOKIES = b"__Host-ztproxy-id"
"""How the names of the cookies that say who somebody is begin: a browser keeps them to one host, over TLS."""
_OWN_COOKIES_FOLDED = OWN_COOKIES.lower()


def is_own_cookie(name: bytes) -> bool:
    """Whether a cookie's name is one that only we may set; in any case of its letters, as some servers read them."""
    return name.lower().startswith(_OWN_COOKIES_FOLDED)


def fold(name: bytes) -> bytes:
    """A name as CGI and its kin would see it: spellings that they confuse are equal."""
    return name.translate(_FOLD)


def is_ours(folded: bytes) -> bool:
    """Whether a folded name is one that only we may set."""
    return folded in OURS or folded.startswith(OURS_PREFIXES)


def is_believed(folded: bytes) -> bool:
    """Whether a folded name is one that applications commonly believe."""
    return folded in BELIEVED or folded.startswith(BELIEVED_PREFIXES)
