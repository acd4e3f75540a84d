"""One Chromium for the tests of pages, and how they open one."""

from __future__ import annotations

import contextlib
import functools
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from jepascope.book.pdf import CHROMIUM

DESK, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
# What makes the page itself scroll sideways: the elements whose right edge is beyond it, unless a parent scrolls.
STICKS_OUT = """() => {
  const wide = document.documentElement.scrollWidth, seen = document.documentElement.clientWidth;
  if (wide <= seen) return [];
  const out = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > seen + 1);
  return [`${wide} px`, ...out.slice(0, 4).map(e => e.outerHTML.slice(0, 120))];
}"""


@pytest.fixture(scope="session", autouse=True)
def chromium() -> str:
    """Debian's or anybody's Chromium; looked for first, since without one there is no need to make the book."""
    for name in ("playwright", "axe_playwright_python"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra: test)")
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        pytest.skip("no Chromium on this machine")
    return found


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Any]:
    """A running Chromium; it ends with this package, as Playwright keeps an event loop to itself while it runs."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="package")
def book(browser: Any, ci_book: Path) -> Path:
    """The rendered pages."""
    return ci_book / "_build" / "html"


@pytest.fixture(scope="package")
def site(book: Path) -> Iterator[str]:
    """The same pages over http, which the search needs."""

    class Silent(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(book))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def opened(browser: Any, address: str, *, size: dict[str, int] = DESK, dark: bool = False) -> Iterator[Any]:
    """Open a page, as a new visitor, and wait until its maths is set."""
    context = browser.new_context(viewport=size, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(address)
    page.evaluate("window.MathJax?.startup?.promise")
    yield page
    context.close()


def serious(page: Any) -> list[str]:
    """What axe-core finds on a page that is of impact serious or critical, one line a rule."""
    from axe_playwright_python.sync_playwright import Axe

    # Nothing is to be fetched again to be looked at: a page from disk may not.
    found = Axe().run(page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [
        f"{rule['id']}: {rule['help']} ({len(rule['nodes'])}): {rule['nodes'][0]['html'][:160]}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
