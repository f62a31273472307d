"""An issuer's answer logs in nobody but the person who began that very login in this very browser."""

import pytest

from tests.login_server import LoginWorld


@pytest.fixture
async def world(tmp_path):
    async with LoginWorld(tmp_path) as world:
        yield world


async def test_a_login(world):
    op = await world.op()
    gateway = await world.gateway(op)
    browser = world.browser(gateway)
    page = await browser.get("https://app.test/x?y=1")
    print(browser.visited, page.status, page.body, page.cause, page.told.outcome)
    assert page.status == 200
    assert page.url == "https://app.test/x?y=1"
    assert browser.logins() == []
    assert gateway.policy.asked[-1].token.subject == "alice"
