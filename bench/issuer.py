"""Serves the issuer's keys over HTTPS on loopback: `issuer.py PORT FOLDER`. ztproxy refuses issuers over plain HTTP."""

import pathlib
import ssl
import sys

from aiohttp import web


def main() -> None:
    """Serve until SIGTERM."""
    port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
    keys = (folder / "jwks.json").read_bytes()

    async def jwks(_: web.Request) -> web.Response:
        return web.Response(body=keys, content_type="application/json")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "issuer.pem", folder / "issuer.key")
    application = web.Application()
    application.router.add_get("/jwks.json", jwks)
    web.run_app(application, host="127.0.0.1", port=port, ssl_context=context, print=None, access_log=None)


if __name__ == "__main__":
    main()
