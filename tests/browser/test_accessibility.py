"""axe-core finds nothing serious, and a keyboard reaches what a mouse does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import DESK, PHONE, opened, serious

pytestmark = pytest.mark.browser

SAMPLE = ("index", "00_summary", "04b_prediction", "05c_features", "08_error_seed1", "notation")


@pytest.mark.parametrize("name", SAMPLE)
@pytest.mark.parametrize(("size", "dark"), [(DESK, True), (PHONE, False), (PHONE, True)])
def test_nor_has_it_one_in_the_dark_or_on_a_phone(
    browser: Any, book: Path, name: str, size: dict[str, int], dark: bool
) -> None:
    with opened(browser, (book / f"{name}.html").as_uri(), size=size, dark=dark) as page:
        assert serious(page) == []


def test_figures_keep_their_white_card_in_the_dark(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri(), dark=True) as page:
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        style = page.eval_on_selector(
            "figure img", "e => [getComputedStyle(e).backgroundColor, getComputedStyle(e).filter]"
        )
        assert style == ["rgb(255, 255, 255)", "none"]


def test_the_first_key_skips_to_the_content(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main-content"
        page.wait_for_function("document.activeElement.getBoundingClientRect().top >= 0", timeout=5000)


def test_code_is_folded_and_a_key_unfolds_it(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        code = page.locator("details.hide").first
        assert not code.locator(".cell_input").is_visible()
        code.locator("summary").focus()
        page.keyboard.press("Enter")
        assert code.locator(".cell_input").is_visible()


def test_what_has_the_focus_is_seen(browser: Any, book: Path) -> None:
    """A number, a seed, a folded cell, a table: each is drawn otherwise while it has the focus."""
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        for selector in ("a.made", "nav.seeds a", "details.hide summary", ".table-block"):
            page.eval_on_selector_all("details", "all => all.forEach(e => e.open = true)")
            page.locator(selector).first.focus()
            page.keyboard.press("Shift+Tab")
            page.keyboard.press("Tab")
            drawn = "getComputedStyle(document.activeElement)"
            style = page.evaluate(f"[{drawn}.outlineStyle, {drawn}.outlineWidth]")
            assert page.evaluate("selector => document.activeElement.matches(selector)", selector), selector
            assert style[0] != "none", selector
            assert style[1] != "0px", selector


def test_a_wide_table_is_scrolled_by_keys(browser: Any, book: Path) -> None:
    with opened(browser, (book / "index.html").as_uri(), size=PHONE) as page:
        block = page.get_by_role("region", name="All claims")
        block.focus()
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.wait_for_function("document.activeElement.scrollLeft > 0", timeout=5000)
