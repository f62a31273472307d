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
        "The listener trusts its authority, this route does not: see the route's `authorities`. Of a workload: its own "
        "trust domain's bundle does not vouch for its SPIFFE ID, or it is no X509-SVID. `detail` says which."
    ),
    Reason.SPIFFE_ID_REFUSED: (
        "The SVID is sound, and the route's `spiffe_ids` do not name this workload: see docs/workloads.md for patterns."
    ),
    Reason.CERTIFICATE_REVOKED: "A list or an OCSP answer of its authority says so, or that of an intermediate.",
    Reason.REVOCATION_UNKNOWN: (
        "Nothing that is in date says whether the certificate, or an authority between it and its anchor, was "
        "revoked: a list is missing or stale, a responder is away. The log names it and `ztproxy status` shows how "
        "old what is known is; docs/revocation.md says what `on_unknown` and `grace` change."
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
        "The token is bound (`cnf`) to another certificate than the connection's (RFC 8705), to another key than the "
        "proof's (RFC 9449), or by a method that is not understood; or it was presented under the wrong scheme: "
        "`DPoP` is for tokens with `cnf.jkt`, `Bearer` for all others. `detail` says which."
    ),
    Reason.TOKEN_BINDING_REQUIRED: (
        "The route or the issuer has a `binding`, and the token is not bound so. Have the issuer bind its tokens: to "
        "the client's certificate (RFC 8705), or to a key (DPoP)."
    ),
    Reason.PROOF_INVALID: (
        "The DPoP proof is absent, doubled, malformed, signed by something else than its `jwk`, too old, or for "
        "another method, URI or token. `detail` says which; compare the clocks, and the URI with what the proxy sees."
    ),
    Reason.PROOF_REPLAYED: "A proof counts once. Make one for each request, and each attempt, with a `jti` of its own.",
    Reason.PROOF_NONCE_REQUIRED: (
        "`dpop.nonce` is `required`. The client makes the proof again with the nonce in `DPoP-Nonce`, as RFC 9449 §9 "
        "has it; libraries do so by themselves."
    ),
    Reason.PROOF_STORE_UNAVAILABLE: (
        "The store of used proofs (`dpop.replay`) is away, or full (`dpop.maximum_proofs`). The log says which."
    ),
    Reason.LOGIN_REQUIRED: (
        "The route has `login` and the request no session, and it is none of a browser that shows a page: a script, a "
        "frame, a WebSocket, a client without `Accept: text/html`. Load a page of the host in a browser first."
    ),
    Reason.LOGIN_FAILED: (
        "`detail` says what the person can do; the log's `cause` says what was wrong: the issuer's own error, an "
        "answer that does not belong to this browser, an ID token that does not hold."
    ),
    Reason.STEP_UP_FAILED: (
        "The issuer logged the person in, but its ID token has another `acr`, or an older or no `auth_time`, than the "
        "policy's `step_up` (or `login[].acr_values`, `login[].max_age`) asked for. See what the issuer knows of them."
    ),
    Reason.LOGOUT_REFUSED: (
        "A back-channel logout token does not hold: see the `cause` in the log. Compare `login[].client_id` and the "
        "clocks."
    ),
    Reason.SESSION_UNREADABLE: (
        "Several cookies `__Host-ztproxy-id`, or one that ztproxy did not make: something between, or another "
        "program on this host, makes cookies of that name. A login in the browser replaces them."
    ),
    Reason.SESSION_ENDED: (
        "Logged out, revoked, over (`sessions.idle`, `sessions.lifetime`), or its issuer refused to refresh it, while "
        "a stream was open. Log in again."
    ),
    Reason.SESSION_CHANGED: (
        "The issuer says something else about the person than when the stream began, so it ends and is judged anew "
        "when the client connects again."
    ),
    Reason.SESSION_TOO_LARGE: (
        "Claims and tokens of this login have more than 64 KiB together. Have the issuer send fewer claims (often "
        "groups); the log says how large it was."
    ),
    Reason.SESSION_STORE_UNAVAILABLE: (
        "`sessions.storage` does not answer in `sessions.timeout`, and who asks cannot be known without it. Requests "
        "with tokens and routes without `login` go on. The log names the cause."
    ),
    Reason.SESSION_NOT_RENEWED: (
        "The session's claims have to be refreshed, and its issuer has not answered for `sessions.outage`. The log "
        "names the cause; the session goes on when the issuer is back."
    ),
    Reason.SESSIONS_FULL: (
        "`sessions.storage` has no room for one more login; those who are logged in stay so. Raise `sessions.maximum`, "
        "or lower `sessions.idle`."
    ),
    Reason.CROSS_SITE_REFUSED: (
        "A request that could change something, or a WebSocket, came with a session's cookie, but not from a page of "
        "this very origin: `Origin` is another's, or there is neither `Origin` nor `Sec-Fetch-Site`. Scripts use a "
        "token; for pages of other origins name them in the route's `cors` with `credentials`."
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
    Reason.TOKEN_EXCHANGE_FAILED: (
        "403: the issuer exchanges no token of this caller. 503: it does not answer, or too many exchanges are under "
        "way. 502: it refuses the route's `token_exchange` as such, or answers something else than RFC 8693 has. The "
        "log has its error."
    ),
    Reason.ASSERTION_TOO_LARGE: (
        "A claim that `assertion.claims` takes over is larger than 4 KiB, or all are larger than 16 KiB, as JSON; the "
        "log says which. Take over a part of it, or groups by way of `issuers[].groups.map`."
    ),
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
