"""Debian's Chromium, driven by Playwright, as people use it: `async with Browser(folder, authority) as browser`.

    person = await browser.person()                        # a profile of its own; dark=True asks for dark pages
    await person.open("https://app.localhost:8443/orders")
    await person.fill(username="alice", password="...")
    await person.press("Log in")
    await person.screenshot("denied"); assert await person.violations() == []

Hosts below `localhost` are this machine, by the browser's own rule; it reaches no other host. It trusts the tests' own
authority as a person would let it: through the profile's certificate database.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any, Final, Self

import pytest

from tests.pki import Authority

CHROMIUM: Final = shutil.which("chromium") or "/usr/bin/chromium"
AXE: Final = Path(__file__).parent / "accessibility" / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS: Final = (
    "--no-sandbox",  # root has none
    "--no-first-run",
    "--no-proxy-server",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
)
SHOTS: Final = "ZTPROXY_SCREENSHOTS"
"""The variable that names a folder for screenshots, for somebody to look at; else they go with the test's files."""

needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium: apt-get install chromium"),
    pytest.mark.skipif(shutil.which("certutil") is None, reason="needs certutil: apt-get install libnss3-tools"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs Playwright: make peers"),
    pytest.mark.skipif(not AXE.exists(), reason="needs npm ci --prefix tests/functional/accessibility"),
]


class Browser:
    """The running browser; each person in it has cookies of their own."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self.folder = folder / "browser"
        self.folder.mkdir()
        self._authority = authority
        self._closing = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        from playwright.async_api import async_playwright

        await self._trust()
        playwright = await self._closing.enter_async_context(async_playwright())
        self._chromium = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(ARGUMENTS), env={**os.environ, "HOME": str(self.folder)}
        )
        self._closing.push_async_callback(self._chromium.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._closing.aclose()

    async def person(self, *, dark: bool = False, **options: Any) -> "Person":
        """Somebody with an empty profile, in a window of 1280 by 800."""
        context = await self._chromium.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": 1280, "height": 800}, **options
        )
        context.set_default_timeout(60_000)
        return Person(context, await context.new_page(), self.folder)

    async def _trust(self) -> None:
        database = self.folder / ".pki" / "nssdb"
        database.mkdir(parents=True)
        root = self._authority.write(self.folder, "root")
        await _certutil(database, "-N", "--empty-password")
        await _certutil(database, "-A", "-t", "C,,", "-n", "tests", "-i", str(root))


class Person:
    """One person's profile and the window in front of them; `context` and `page` are Playwright's."""

    def __init__(self, context: Any, page: Any, folder: Path) -> None:
        self.context, self.page = context, page
        self._folder = Path(os.environ.get(SHOTS) or folder)

    async def open(self, url: str) -> Any:
        """Go to an address, through all redirects; the response that is shown."""
        return await self.page.goto(url)

    async def tab(self) -> "Person":
        """Another window of the same profile."""
        return Person(self.context, await self.context.new_page(), self._folder)

    @property
    def url(self) -> str:
        """The address that is shown."""
        url: str = self.page.url
        return url

    async def text(self) -> str:
        """What can be read on the page."""
        text: str = await self.page.inner_text("body")
        return text

    async def fill(self, **fields: str) -> None:
        """Fill in fields by their names."""
        for name, value in fields.items():
            await self.page.fill(f'[name="{name}"]', value)

    async def press(self, name: str) -> None:
        """Press the button, or follow the link, of this name, as it is read out, and wait for the page it leads to."""
        control = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name)).first
        async with self.page.expect_navigation():
            await control.click()

    async def cookies(self, url: str) -> dict[str, dict[str, Any]]:
        """The cookies that are sent to an address, by name, with their attributes."""
        return {cookie["name"]: cookie for cookie in await self.context.cookies(url)}

    async def screenshot(self, name: str) -> Path:
        """The whole page as it looks now, `name.png`."""
        path = self._folder / f"{name}.png"
        await self.page.screenshot(path=path, full_page=True)
        return path

    async def violations(self) -> list[str]:
        """What axe-core finds that keeps people from reading or using the page (WCAG 2.2 A and AA, best practices)."""
        # Playwright's own world: a page's Content-Security-Policy forbids scripts in the page's.
        await self.page.evaluate(f"() => {{ {AXE.read_text()} ; window.axe = axe; }}")
        found = await self.page.evaluate("() => axe.run(document)")
        return [
            f"{violation['id']}: {violation['help']}: {node['html']}"
            for violation in found["violations"]
            for node in violation["nodes"]
        ]

    async def tab_stops(self, most: int = 20) -> list[str]:
        """What the Tab key reaches, in order, as it is read out; an element whose focus cannot be seen says so."""
        stops: list[str] = []
        await self.page.evaluate("() => document.activeElement?.blur()")
        for _ in range(most):
            await self.page.keyboard.press("Tab")
            stop = await self.page.evaluate(_FOCUSED)
            if stop is None or stop in stops:
                break
            stops.append(stop)
        return stops


_FOCUSED = """() => {
  const focused = document.activeElement;
  if (focused === null || focused === document.body) return null;
  const label = focused.labels?.[0]?.innerText ?? focused.getAttribute("aria-label") ?? focused.innerText;
  const style = getComputedStyle(focused);
  const seen = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none";
  return label.trim() + (seen ? "" : " (focus not visible)");
}"""


async def _certutil(database: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("certutil", "-d", f"sql:{database}", *arguments)
    if await process.wait() != 0:
        raise RuntimeError(f"certutil {' '.join(arguments)} failed")
