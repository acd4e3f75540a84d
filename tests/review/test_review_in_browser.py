"""What reviewers do, in headless Chromium: comment, quote, look at the index, read a comparison on a phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import make_server

from jepascope.review.compare import compare
from jepascope.review.comparison_page import write_page
from jepascope.review.snapshot import read_snapshot, take
from tests.browser.conftest import PHONE, STICKS_OUT, browser, chromium, opened, serious  # noqa: F401
from tests.review.conftest import Reviewer
from tests.review.runs_by_hand import change, claim, picture, table, write_run

pytestmark = pytest.mark.browser


@pytest.fixture
def site(reviewer: Reviewer) -> Iterator[str]:
    """The review server, on a free port."""
    server = make_server("127.0.0.1", 0, reviewer.client.application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_comment_that_quotes_the_page_is_shown_after_a_reload_and_on_the_index(
    browser: Any,  # noqa: F811
    site: str,
) -> None:
    with opened(browser, f"{site}/02_model.html") as page:
        page.wait_for_selector("#isso-thread textarea")
        page.evaluate("getSelection().selectAllChildren(document.querySelector('h2'))")
        page.click("#quote-selection")
        box = page.locator("#isso-thread > .isso-postbox textarea")
        assert box.input_value() == "> A part\n>\n> [A part](#a-part)\n\n"
        box.press_sequentially("Is this so?")
        page.fill("#isso-postbox-author", "Ann")
        page.click("#isso-thread input[type=submit]")
        page.wait_for_selector("#isso-root .isso-comment")
        page.reload()
        page.wait_for_selector("#isso-root .isso-comment")
        assert "Is this so?" in page.inner_text("#isso-root .isso-comment")
        assert page.get_attribute("#isso-root .isso-comment blockquote a", "href") == "#a-part"
        assert not page.is_visible("#isso-postbox-email")
        page.click("text=All open threads")
        assert page.inner_text("tbody tr").split("\t")[1:3] == ["Is this so?", "Ann"]
        page.click("tbody a")
        assert page.url == f"{site}/02_model.html#a-part"
        assert page.said == []
        assert [url for url in page.asked if not url.startswith(site)] == []


FORMULA = """() => {
  window.MathJax = {startup: {document: {getMathItemsWithin: () => [{math: "\\\\hat z_k"}]}}};
  document.querySelector("article p").innerHTML = "Since <mjx-container><i></i></mjx-container> is\\n a <b>guess</b>.";
  getSelection().selectAllChildren(document.querySelector("#a-part"));
}"""


def test_a_formula_in_a_quotation_is_its_tex(browser: Any, site: str) -> None:  # noqa: F811
    with opened(browser, f"{site}/02_model.html") as page:
        page.wait_for_selector("#isso-thread textarea")
        page.evaluate(FORMULA)
        page.click("#quote-selection")
        said = page.locator("#isso-thread > .isso-postbox textarea").input_value()
        assert said.startswith("> A part\n> Since $\\hat z_k$ is a guess.\n>\n> [A part](#a-part)")


@pytest.mark.parametrize("dark", [False, True])
def test_a_comparison_reads_well_in_both_modes_and_on_a_phone(
    browser: Any,  # noqa: F811
    project: Path,
    dark: bool,
) -> None:
    first = take("first", "toy", [0, 1])
    folder = write_run(project, "02_model", 0, table=table(("z", "0.55"), ("x" * 300, "0.40")), picture=picture("b"))
    change(folder, claims=[claim("foresees", 0.15, "does not hold"), claim("another", 0.5)])
    page_file = write_page(compare(read_snapshot(first), read_snapshot(take("second", "toy", [0, 1]))), project / "out")
    with opened(browser, page_file.as_uri(), dark=dark) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert serious(page) == []
        page.set_viewport_size(PHONE)
        assert page.evaluate(STICKS_OUT) == []
        assert page.said == []
        assert [url for url in page.asked if not url.startswith(("file:", "data:"))] == []
