"""The five requests of the demo: what each shows, how to make it by hand, and whether its answer is as it should be."""

import ssl
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec

from ztproxy.demo.world import World


class Stop(msgspec.Struct, frozen=True):
    """One request of the tour and the answer that it should get."""

    title: str
    path: str
    client: str | None
    """Whose certificate is shown."""
    token: str
    status: int
    reason: str | None
    """The refusal's word; None where the request should be answered by a service."""
    shows: str = ""
    """A text that the answer should hold."""
    times: int = 1
    """How often the request is made; the last answer counts."""


STOPS = (
    Stop("allowed: ada, a clerk, reads an order", "/orders/42", "ada", "ada", 200, None, '"x-role": "clerk"'),
    Stop(
        "denied by policy: bob, a guest, reads an order that guests do not see",
        "/orders/142",
        "bob",
        "bob",
        403,
        "policy-denied",
        "guests see only orders below 100",
    ),
    Stop("no certificate: a stolen token alone", "/orders/42", None, "ada", 403, "certificate-required"),
    Stop("an expired token", "/orders/42", "ada", "expired", 401, "token-expired"),
    Stop("over the limit: ada's sixth look at the payroll", "/payroll/ada", "ada", "ada", 429, "rate-limited", times=6),
)


def command(world: World, stop: Stop) -> str:
    """The same request as a command to paste."""
    pki = world.folder / "pki"
    who = f" --cert {pki}/{stop.client}.pem --key {pki}/{stop.client}.key" if stop.client else ""
    bearer = f'-H "Authorization: Bearer $(cat {world.token_file(stop.token)})"'
    request = f"curl -sS --cacert {pki}/authority.pem{who} \\\n    {bearer} {world.url}{stop.path}"
    return f"for i in $(seq {stop.times}); do {request}; echo; done" if stop.times > 1 else request


async def take(world: World) -> bool:
    """Make all five requests, show each with its answer; whether all went as they should."""
    good = 0
    for number, stop in enumerate(STOPS, 1):
        status, body = 0, ""
        async with _session(world, stop) as session:
            for _ in range(stop.times):
                async with session.get(f"{world.url}{stop.path}") as response:
                    status, body = response.status, await response.text()
        wrong = list(_faults(stop, status, body))
        good += not wrong
        print(f"\n{number}. {stop.title}\n   {command(world, stop)}\n   → {status} {body.strip()}")
        print(f"   {'as it should be' if not wrong else 'NOT as it should be: ' + '; '.join(wrong)}")
    print(f"\n{good} of {len(STOPS)} went as they should.")
    return good == len(STOPS)


def _session(world: World, stop: Stop) -> aiohttp.ClientSession:
    context = ssl.create_default_context(cafile=world.folder / "pki" / "authority.pem")
    if stop.client:
        pki = world.folder / "pki"
        context.load_cert_chain(pki / f"{stop.client}.pem", pki / f"{stop.client}.key")
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        headers={"Authorization": f"Bearer {world.token_file(stop.token).read_text()}"},
        timeout=aiohttp.ClientTimeout(total=10),
    )


def _faults(stop: Stop, status: int, body: str) -> Iterator[str]:
    if status != stop.status:
        yield f"status {status} instead of {stop.status}"
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        yield "the answer is not JSON"
        return
    reason = answer.get("reason")
    if reason != stop.reason:
        yield f"reason {reason} instead of {stop.reason}"
    if stop.shows not in body.replace('":"', '": "'):
        yield f"the answer does not show {stop.shows}"
