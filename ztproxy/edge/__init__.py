"""Sockets, TLS, HTTP parsing, the canonical request, and rendering of refusals.

What is HTTP/1.1's own: `http1` (a connection), `requests` (octets to requests, llhttp), `exchange`, `answering` and
`response` (one request and its response as octets). Nothing else here knows them: a listener makes an
`ztproxy.edge.wire.Application` for each connection, TLS says in ALPN which, and every application hands
`ztproxy.edge.canonical` a request line and fields, and gets an `Arrived`. That is where HTTP/2 goes beside it.
"""
