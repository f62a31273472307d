"""Workload identity from files: what is read, and what of it is refused by name."""

import asyncio
import datetime as dt
import json
import time

import pytest

from tests.pki import DAY, Authority, key_pem, now
from tests.workloads import Domain
from ztproxy.config.spiffe import Spiffe
from ztproxy.spiffe import files
from ztproxy.spiffe.errors import SpiffeError
from ztproxy.spiffe.source import Files

PROD, PARTNER = Domain("prod.example"), Domain("partner.example")
NOW = time.time()


def section(folder, **changes):
    PROD.write_svid(folder)
    PROD.write_bundle(folder)
    PARTNER.write_bundle(folder, pem=True)
    said = {
        "trust_domain": "prod.example",
        "svid": {"certificate": "svid.pem", "key": "svid.key"},
        "bundle": "prod.example.json",
        "federated": [{"trust_domain": "partner.example", "bundle": "partner.example.pem"}],
        "interval": "100ms",
    }
    return Spiffe.model_validate(said | changes, context={"base": folder})


def test_all_of_it_is_read(tmp_path):
    found = files.read(section(tmp_path), NOW)
    assert found.svid.spiffe_id == "spiffe://prod.example/orders"
    assert found.bundles["prod.example"].authorities == (PROD.authority.der,)
    assert found.bundles["partner.example"].authorities == (PARTNER.authority.der,)
    assert json.loads(found.bundles["prod.example"].keys)["keys"][0]["kid"] == "jwt-1"
    assert json.loads(found.bundles["partner.example"].keys) == {"keys": []}


def test_a_key_is_nowhere_to_be_read_by_accident(tmp_path):
    assert "PRIVATE" not in repr(files.read(section(tmp_path), NOW))


def svid(folder, **options):
    PROD.write_svid(folder, **options)


def test_a_svid_that_nobody_should_show_is_refused(tmp_path):
    said = section(tmp_path)
    for options, why in (
        ({"uri": [PROD.id("/a"), PROD.id("/b")]}, "more than one URI"),
        ({"uri": [PARTNER.id("/a")]}, "not of our trust domain"),
        ({"uri": [], "dns": ["a.example"]}, "no SPIFFE ID"),
        ({"ca": True}, "an authority's"),
        ({"not_before": now() - 3 * DAY, "not_after": now() - DAY}, "expired on"),
    ):
        svid(tmp_path, **options)
        with pytest.raises(SpiffeError, match=why) as wrong:
            files.read(said, NOW)
        assert "svid.pem" in str(wrong.value)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no private key"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key|cannot be used"),
        (key_pem(Authority.new().key), "the key is not the certificate's"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(tmp_path, content, why):
    said = section(tmp_path)
    (tmp_path / "svid.key").write_bytes(content)
    with pytest.raises(SpiffeError, match=why):
        files.read(said, NOW)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "neither PEM certificates nor"),
        (b"{}", "no list `keys`"),
        (b"[]", "no list `keys`"),
        (b'{"keys": {}}', "no list `keys`"),
        (b'{"keys": []}', "the bundle is empty"),
        (b'{"keys": [{"use": "sig", "kty": "EC"}]}', "the bundle is empty"),
        (b'{"keys": [{"use": "x509-svid", "x5c": []}]}', "the bundle is empty"),
        (b'{"keys": [{"use": "x509-svid", "x5c": ["AAAA"]}]}', "holds no certificate"),
        (b'{"keys": [{"use": "x509-svid", "x5c": "AAAA"}]}', "holds no certificate"),
        (b"[" * 100_000, "neither PEM certificates nor"),
        (b"x" * ((1 << 20) + 1), "is larger than"),
        (PROD.svid().certificate.public_bytes(__import__("cryptography").hazmat.primitives.serialization.Encoding.PEM),
         "is not an authority's"),
    ],
)  # fmt: skip
def test_a_bundle_that_vouches_for_nobody_or_cannot_be_read_is_refused(tmp_path, content, why):
    said = section(tmp_path)
    (tmp_path / "prod.example.json").write_bytes(content)
    with pytest.raises(SpiffeError, match=why) as wrong:
        files.read(said, NOW)
    assert "prod.example.json" in str(wrong.value)


async def test_a_renewal_is_told_once_it_can_be_used_and_a_broken_one_is_not(tmp_path):
    said: list[str] = []
    told = asyncio.Event()
    source = Files(section(tmp_path), lambda line: (said.append(line), told.set()))
    first = await source.now()
    changed = asyncio.create_task(source.changed())
    await asyncio.sleep(0)  # it knows what was there
    (tmp_path / "svid.pem").write_bytes(b"half a cert")
    async with asyncio.timeout(10):
        await told.wait()
        assert "what was known before stays in use" in said[0]
        assert "svid.pem" in source.problem
        assert not changed.done()
        PROD.write_svid(tmp_path, "/orders")
        await changed
    second = await source.now()
    assert second.svid.chain != first.svid.chain
    assert source.problem == ""
    assert second.aged_like(first).bundles["prod.example"].since == first.bundles["prod.example"].since
    source.close()


def test_a_svid_of_tomorrow_is_read_with_its_times(tmp_path):
    said = section(tmp_path)
    end = now() + dt.timedelta(hours=1)
    svid(tmp_path, not_after=end)
    assert files.read(said, NOW).svid.not_after == end.timestamp()
