"""Workload identity from the Workload API: real gRPC over a Unix socket, and an agent that dies, lies or withdraws."""

import asyncio
import contextlib
import sys

import pytest

from tests.pki import DAY, now
from tests.workloads import Domain, WorkloadApi
from ztproxy.config.spiffe import Spiffe
from ztproxy.spiffe import workload_api
from ztproxy.spiffe.errors import SpiffeError

PROD, PARTNER = Domain("prod.example"), Domain("partner.example")
pytestmark = pytest.mark.slow


@pytest.fixture
def api(tmp_path):
    made = WorkloadApi(tmp_path / "agent.sock")
    made.hands_out(PROD, PROD.svid("/first"))
    yield made
    made.stop()


@pytest.fixture
def pauses(monkeypatch):
    """No test waits for an agent that is there again."""
    monkeypatch.setattr(workload_api, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(workload_api, "LONGEST_PAUSE", 0.1)


class Asking:
    def __init__(self, api, *, tokens=False, **changes):
        said = {"trust_domain": "prod.example", "workload_api": f"unix:{api.path}", "start_timeout": "10s"} | changes
        spiffe = Spiffe.model_validate(said)
        self.said: list[str] = []
        self._told = asyncio.Event()
        self.source = workload_api.WorkloadApi(spiffe, spiffe.workload_api, self._tell, tokens=tokens)

    def _tell(self, line):
        self.said.append(line)
        self._told.set()

    async def told(self, text):
        """Until something is said."""
        async with asyncio.timeout(20):
            while not any(text in line for line in self.said):
                self._told.clear()
                await self._told.wait()

    async def news(self):
        async with asyncio.timeout(20):
            await self.source.changed()
            return await self.source.now()


@contextlib.asynccontextmanager
async def asking(api, **options):
    made = Asking(api, **options)
    try:
        yield made
    finally:
        made.source.close()
        await asyncio.sleep(0)


async def test_it_hands_out_svid_bundles_and_keys(api):
    api.federated = {PARTNER.id(""): PARTNER.authority.der, "spiffe://unasked.example": PROD.authority.der}
    api.start()
    async with asking(api, tokens=True, federated=[{"trust_domain": "partner.example"}]) as asked:
        known = await asked.source.now()
    assert known.svid.spiffe_id == "spiffe://prod.example/first"
    assert set(known.bundles) == {"prod.example", "partner.example"}
    assert known.bundles["prod.example"].authorities == (PROD.authority.der,)
    assert known.bundles["partner.example"].authorities == (PARTNER.authority.der,)
    assert b'"jwt-1"' in known.bundles["prod.example"].keys
    assert b"PRIVATE KEY" in known.svid.key


async def test_a_rotation_is_told(api):
    api.start()
    async with asking(api) as asked:
        before = await asked.source.now()
        api.hands_out(PROD, PROD.svid("/second"))
        after = await asked.news()
    assert after.svid.spiffe_id == "spiffe://prod.example/second"
    assert after.bundles == before.bundles  # as old as they were


async def test_one_of_several_svids_is_chosen(api):
    api.hands_out(PROD, PROD.svid("/first"), PROD.svid("/second"))
    api.start()
    async with asking(api, spiffe_id="spiffe://prod.example/second") as asked:
        assert (await asked.source.now()).svid.spiffe_id == "spiffe://prod.example/second"
    async with asking(api, spiffe_id="spiffe://prod.example/third", start_timeout="1s") as asked:
        with pytest.raises(SpiffeError, match="does not hand out spiffe:"):
            await asked.source.now()


async def test_an_agent_that_dies_leaves_the_last_good_and_is_heard_again(api, pauses):
    api.start()
    async with asking(api) as asked:
        known = await asked.source.now()
        api.stop()
        await asked.told("what was known before stays in use")
        assert asked.source.problem
        assert await asked.source.now() == known
        api.hands_out(PROD, PROD.svid("/after"))
        api.start()
        assert (await asked.news()).svid.spiffe_id == "spiffe://prod.example/after"
        await asked.told("answers again")
        assert asked.source.problem == ""


async def test_a_start_waits_for_the_agent_and_not_for_ever(api, pauses):
    async with asking(api, start_timeout="1s") as asked:
        with pytest.raises(SpiffeError, match=r"agent\.sock"):
            await asked.source.now()
    async with asking(api) as asked:
        waiting = asyncio.create_task(asked.source.now())
        await asked.told("agent.sock")
        api.start()
        assert (await waiting).svid.spiffe_id == "spiffe://prod.example/first"


WRONG = {
    "an empty bundle": (lambda api: setattr(api, "bundle", b""), ""),
    "no authority in the bundle": (lambda api: setattr(api, "bundle", PROD.svid().der), "not an authority's"),
    "nonsense for a bundle": (lambda api: setattr(api, "bundle", b"nonsense"), ""),
    "no SVID": (lambda api: api.svids.clear(), ""),
    "an SVID of another domain": (
        lambda api: api.svids.__setitem__(0, ("x", PARTNER.svid())), "not of our trust domain",
    ),
    "two URI names": (
        lambda api: api.svids.__setitem__(0, ("x", PROD.svid(uri=[PROD.id("/a"), "https://a.example/"]))), "",
    ),
    "an authority": (lambda api: api.svids.__setitem__(0, ("x", PROD.svid(ca=True))), ""),
    "an expired SVID": (
        lambda api: api.svids.__setitem__(
            0, ("x", PROD.svid(not_before=now() - 3 * DAY, not_after=now() - DAY))
        ),
        "expired on",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "why"), WRONG.values(), ids=WRONG)
async def test_an_answer_that_cannot_be_used_changes_nothing(api, pauses, spoil, why):
    api.start()
    async with asking(api) as asked:
        known = await asked.source.now()
        changed = asyncio.create_task(asked.source.changed())
        spoil(api)
        api.tell()
        await asked.told("what was known before stays in use")
        assert why in asked.said[0]
        assert not changed.done()
        assert await asked.source.now() == known
        changed.cancel()


async def test_a_federated_bundle_that_is_left_out_was_withdrawn(api):
    api.federated = {PARTNER.id(""): PARTNER.authority.der}
    api.start()
    async with asking(api, federated=[{"trust_domain": "partner.example"}]) as asked:
        await asked.source.now()
        api.federated = {}
        api.tell()
        assert (await asked.news()).bundles["partner.example"].authorities == ()


async def test_who_has_not_the_package_is_told_its_name(api, monkeypatch):
    monkeypatch.setitem(sys.modules, "spiffe", None)
    with pytest.raises(SpiffeError, match=r"ztproxy\[spiffe\]"):
        Asking(api)


def test_an_own_bundle_that_holds_keys_and_no_authority_is_empty():
    from cryptography.hazmat.primitives import serialization
    from spiffe import JwtBundle, JwtBundleSet, TrustDomain, X509Bundle, X509BundleSet, X509Svid
    from spiffe.workloadapi.x509_context import X509Context

    leaf, name = PROD.svid(), TrustDomain("prod.example")
    key = leaf.key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    keys = JwtBundleSet.of([JwtBundle(name, {"jwt-1": PROD.key.public_key()})])
    spiffe = Spiffe.model_validate({"trust_domain": "prod.example", "workload_api": "unix:/agent.sock"})
    for authorities, sound in (({PROD.authority.certificate}, True), (set(), False)):
        said = X509Context([X509Svid.parse_raw(leaf.der, key)], X509BundleSet.of([X509Bundle(name, authorities)]))
        if sound:
            assert workload_api.workload_of(said, keys, spiffe, "agent", 0.0).svid is not None
        else:
            with pytest.raises(SpiffeError, match=r"prod\.example, is empty"):
                workload_api.workload_of(said, keys, spiffe, "agent", 0.0)
