"""What each refusal means to the person who has to do something about it: docs/troubleshooting.md is made from this.

`python -m ztproxy.observe.reasons` prints the document.
"""

from ztproxy.model import Reason

REMEDIES: dict[Reason, str] = {
    Reason.REQUEST_MALFORMED: (
        "The client (or something between) sends invalid HTTP; `detail` names the part. The connection is closed, "
        "because what follows cannot be told apart."
    ),
    Reason.REQUEST_AMBIGUOUS: (
        "Two parsers could read it differently: dot segments, `//`, `;`, encoded slashes or letters, differing "
        "Hosts. Write the path in its one canonical spelling; `detail` says which part is not."
    ),
    Reason.REQUEST_TOO_LARGE: (
        "431: the head is over `requests.head`, or there are over `requests.fields`; often cookies. 414: the request "
        "line is over `requests.request_line`. 413: the body is over `maximum_body`."
    ),
    Reason.MISDIRECTED_REQUEST: (
        "The client reused a connection for another host. It should open one for this host; browsers do so by "
        "themselves on 421."
    ),
    Reason.ROUTE_NOT_FOUND: (
        "No route has this host and path. An exact host never falls back to `*`: see `ztproxy config show`."
    ),
    Reason.CROSS_ORIGIN_REFUSED: (
        "A browser asked (CORS preflight) for a page whose origin, method or headers the route's `cors` does not name. "
        "The log says which."
    ),
    Reason.CERTIFICATE_REQUIRED: (
        "The route has `require: [certificate]` and the client showed none. Configure it with one of the "
        "listener's `client_certificates.authorities`."
    ),
    Reason.CERTIFICATE_EXPIRED: (
        "The certificate's validity ended, or has not begun, perhaps while the connection was open. Issue a new "
        "one; compare the clocks."
    ),
    Reason.CERTIFICATE_UNSUITABLE: (
        "It lacks the extended key usage clientAuth, is an authority's, is not version 3, or has names that "
        "cannot be read. `detail` says which."
    ),
    Reason.CERTIFICATE_UNTRUSTED_HERE: (
        "The listener trusts its authority, this route does not: see the route's `authorities`."
    ),
    Reason.CERTIFICATE_REVOKED: "The authority's CRL lists it, or an intermediate of its chain.",
    Reason.REVOCATION_UNKNOWN: (
        "`crl` is configured, but no list that is in date covers the certificate's authority. Fetch the list "
        "anew, or say `on_unknown: allow`."
    ),
    Reason.TOKEN_MISSING: "The route has `require: [token]` and the request no `Authorization: Bearer` field.",
    Reason.TOKEN_MALFORMED: (
        "Not a signed JWT as RFC 7515 and RFC 7519 have it, a claim is absent or of the wrong type, or its header "
        "asks for keys of its own (`jwk`, `jku`, `x5u`, `x5c`, `crit`). `detail` names it."
    ),
    Reason.TOKEN_EXPIRED: "`exp` has passed, by more than the issuer's `leeway`. Get a new one; compare the clocks.",
    Reason.TOKEN_NOT_YET_VALID: "`nbf` or `iat` lies ahead, by more than the issuer's `leeway`. Compare the clocks.",
    Reason.TOKEN_SIGNATURE_INVALID: (
        "The issuer's key of that `kid` did not make this signature: altered on the way, or made by another "
        "environment's issuer."
    ),
    Reason.TOKEN_KEY_UNKNOWN: (
        "The issuer does not publish the token's `kid`. After a rotation the keys are asked for again within "
        "seconds; if it stays, the token is of another environment."
    ),
    Reason.TOKEN_ISSUER_UNKNOWN: "`iss` is not, to the letter, an issuer that is configured and counts on this route.",
    Reason.TOKEN_AUDIENCE_MISMATCH: "`aud` names none of the issuer's `audiences`.",
    Reason.TOKEN_ALGORITHM_REFUSED: "`alg` is not among the issuer's `algorithms`, or does not fit the key.",
    Reason.TOKEN_BINDING_MISMATCH: (
        "The token is bound (`cnf`, RFC 8705) to another certificate than the connection's, or by a method that "
        "is not understood."
    ),
    Reason.STEP_UP_REQUIRED: (
        "The policy's `step_up` wants a stronger (`acr`) or more recent (`auth_time`) login than the token's. A "
        "browser with a session is sent to log in again; others ask their issuer for what `WWW-Authenticate` names."
    ),
    Reason.ISSUER_KEYS_UNAVAILABLE: (
        "The issuer's keys were never fetched, or are older than `max_stale`. The log says why; look at its URL, "
        "its certificate's authority, the network."
    ),
    Reason.TOKEN_TYPE_REFUSED: (
        "The issuer has `token_type: access` and the token is no access token by RFC 9068 (often an ID token: the "
        "client sends the wrong one), or its issuer says that it is a refresh token. `detail` says what it lacks."
    ),
    Reason.TOKEN_INACTIVE: (
        "The issuer was asked about the token (`introspection`) and does not know it, or no more: expired, revoked, "
        "logged out, or another issuer's. Get a new one. A refusal is remembered for up to ten seconds."
    ),
    Reason.INTROSPECTION_UNAVAILABLE: (
        "The issuer's introspection endpoint does not answer in time, refuses ztproxy as a client, or answers what "
        "cannot be read; or too many tokens wait. The log says which. Tokens asked about within `cache` still count."
    ),
    Reason.ISSUER_UNAVAILABLE: (
        "Somebody wants to log in, and what the issuer says about itself (its discovery document) was never fetched or "
        "is older than `max_stale`. Who is logged in already is not concerned. The log says why it cannot be fetched."
    ),
    Reason.POLICY_DENIED: (
        "The policy says no; its reasons stand in the decision log, and in the answer with `policy.show_reasons: "
        "true`. Try a change with `ztproxy policy eval --explain`."
    ),
    Reason.POLICY_UNDEFINED: "No rule gives the entrypoint a value for this input. Write a `default decision`.",
    Reason.POLICY_MALFORMED: (
        "The decision is neither a boolean nor `{allow, reasons, ...}`, or holds a key, a header or a demand that "
        "is not understood. The log says which."
    ),
    Reason.POLICY_ERROR: (
        "A builtin failed or rules conflict; the log has OPA's message. `ztproxy policy eval` shows it."
    ),
    Reason.POLICY_TIMEOUT: "The decision took longer than `policy.deadline`.",
    Reason.POLICY_UNAVAILABLE: (
        "The OPA server is away (`engine: server`), too many decisions are under way, or decisions cannot be "
        "recorded although `decisions.required` is true."
    ),
    Reason.RATE_LIMITED: "A bucket is empty: `RateLimit` names it, `Retry-After` says when to come back.",
    Reason.UPSTREAM_UNREACHABLE: (
        "No server of the route accepts connections, or none passes `upstream.health`. The log names the cause."
    ),
    Reason.UPSTREAM_PROTOCOL_ERROR: (
        "The server's answer is not HTTP/1.1 that has one reading, or it closed in mid-answer."
    ),
    Reason.UPSTREAM_TLS_FAILED: (
        "The server's certificate is not of `upstream.tls.authorities`, names another server, or the server "
        "refused ours."
    ),
    Reason.UPSTREAM_TIMEOUT: (
        "The server did not connect, begin its answer, or go on with it within `upstream.timeouts`."
    ),
    Reason.CLIENT_GONE: (
        "Only in the logs: the client closed the connection before there was an answer. Its own timeout may be "
        "shorter than what stands behind takes."
    ),
    Reason.OVERLOADED: (
        "The proxy has all that `overload` lets it take on, the route's servers have all that "
        "`upstream.maximum_connections` and `maximum_requests` allow them and `upstream.queue` is full, or the storage "
        "of the limits cannot take more. Try again after `Retry-After`."
    ),
    Reason.INTERNAL_ERROR: "A defect of the proxy: its log has the traceback under the request's id. Please report it.",
}

_HEAD = """# Troubleshooting

<!-- Made by `make docs` from the enum of reasons; a test compares. -->

Every refusal is `application/problem+json` (RFC 9457), or an HTML page where `Accept` prefers it, with a `reason` and a
`request_id`; the access log has both. A handshake that fails is a line of its own in the access log, with OpenSSL's
reason. A wrong configuration is `FILE:LINE:COLUMN: what`, exit code 2, and no socket was bound.

| reason | status | what it says | what to do |
|---|---|---|---|
"""


def markdown() -> str:
    """docs/troubleshooting.md."""
    rows = (f"| `{reason.word}` | {reason.status} | {reason.title} | {REMEDIES[reason]} |" for reason in Reason)
    return _HEAD + "\n".join(rows)


if __name__ == "__main__":
    print(markdown())  # noqa: T201 - this is what it is run for
