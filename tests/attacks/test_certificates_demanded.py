"""A route that demands a certificate gets one that holds, and what is shown must hold where none is demanded too."""

import asyncio
import time

import pytest

from tests.pki import SERVER, Authority
from ztproxy.config.settings import Settings
from ztproxy.identity import Clock, Identity, describe
from ztproxy.model import Arrived, Connection, Identified, Reason, Routed

ROOT, OTHER = Authority.new("Root"), Authority.new("Other")
NOW = time.time()
EVERYWHERE = ("demanded", "optional")


@pytest.fixture
async def ask(tmp_path):
    roots = [ROOT.write(tmp_path, "root"), OTHER.write(tmp_path, "other")]
    certificate, key = ROOT.server().write(tmp_path, "gateway")
    settings = Settings.model_validate(
        {
            "version": 1,
            "listeners": [
                {
                    "address": "127.0.0.1:8443",
                    "certificates": [{"certificate": certificate, "key": key}],
                    "client_certificates": {"authorities": roots, "mode": "optional"},
                }
            ],
            "routes": [
                {
                    "name": name,
                    "hosts": ["*"],
                    "paths": [f"/{name}/"],
                    "require": require,
                    "authorities": roots[:1],
                    "upstream": {"servers": ["http://127.0.0.1:1"]},
                }
                for name, require in (("demanded", ["certificate"]), ("optional", []))
            ],
        }
    )
    identity = Identity.build(settings, clock=Clock(wall=lambda: NOW, monotonic=lambda: 0.0))

    async def asked(route, leaf=None, *, authority=ROOT, now=NOW):
        shown = None if leaf is None else describe((leaf.der, authority.der))
        arrived = Arrived(
            request_id="1", wall=now, monotonic=0.0,
            connection=Connection("127.0.0.1:8443", "https", "192.0.2.1", 1, 8443, None, shown),
            source="192.0.2.1", method="GET", scheme="https", host="h", port=443, authority=b"h", path="/",
            segments=(), query="", has_query=False, fields=(), unverified_authorization=(), content_length=0,
        )  # fmt: skip
        return await identity.identify(Routed(arrived, route))

    yield asked
    await asyncio.wait_for(identity.close(), 5)


async def test_none_where_one_is_demanded(ask):
    assert (await ask("demanded")).reason is Reason.CERTIFICATE_REQUIRED
    nobody = await ask("optional")
    assert isinstance(nobody, Identified)
    assert nobody.certificate is None


@pytest.mark.parametrize("route", EVERYWHERE)
async def test_a_good_one_says_who_asks(ask, route):
    leaf = ROOT.issue("alice")
    assert (await ask(route, leaf)).certificate.fingerprint == leaf.fingerprint


@pytest.mark.parametrize("route", EVERYWHERE)
async def test_an_unfit_one_is_refused_demanded_or_not(ask, route):
    late = describe((ROOT.issue().der, ROOT.der)).not_after + 1
    for refusal, reason in (
        (await ask(route, ROOT.issue(eku=(SERVER,))), Reason.CERTIFICATE_UNSUITABLE),
        (await ask(route, OTHER.issue(), authority=OTHER), Reason.CERTIFICATE_UNTRUSTED_HERE),
        (await ask(route, ROOT.issue(), now=late), Reason.CERTIFICATE_EXPIRED),
    ):
        assert refusal.reason is reason
