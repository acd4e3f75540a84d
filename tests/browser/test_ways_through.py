"""The ways a reader takes: from a claim to where its number comes from, to another seed, by search, by sorting."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import opened

pytestmark = pytest.mark.browser


def test_a_number_of_the_front_page_opens_the_provenance_of_its_seed(browser: Any, book: Path) -> None:
    with opened(browser, (book / "index.html").as_uri()) as page:
        page.locator('#claims a[href="08_error_seed1.html#provenance"]').first.click()
        page.wait_for_url("**/08_error_seed1.html#provenance")
        provenance = page.locator("#provenance")
        assert provenance.locator("table").is_visible()
        assert "ci, 1" in provenance.inner_text()


def test_a_number_in_prose_opens_the_provenance_again_after_it_was_closed(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        table = page.locator("#provenance table")
        assert not table.is_visible()
        number = page.locator("p > a.made").first
        assert number.get_attribute("title") == "where this number comes from"
        number.click()
        assert table.is_visible()
        page.locator("#provenance > summary").click()
        assert not table.is_visible()
        number.click()
        assert table.is_visible()


def test_every_part_of_a_claims_box_and_every_caption_leads_to_provenance(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        boxes = page.eval_on_selector_all(".claim", "all => all.map(box => box.cloneNode(true)).map(box => {"
            "box.querySelectorAll('a.made').forEach(e => e.remove()); return box.innerText})")  # fmt: skip
        assert boxes
        assert [box for box in boxes if re.search(r"\d \[", box)] == []
        for caption in ("figcaption", ".table-caption"):
            assert page.locator(caption).count() == page.locator(f"{caption} a.made").count() > 0


def test_the_bar_of_seeds_leads_there_and_back_and_next_stays_in_the_seed(browser: Any, book: Path) -> None:
    with opened(browser, (book / "08_error.html").as_uri()) as page:
        bar = page.get_by_role("navigation", name="This chapter in each seed")
        assert bar.locator("[aria-current=page]").inner_text() == "0"
        bar.get_by_role("link", name="1").click()
        page.wait_for_url("**/08_error_seed1.html")
        assert bar.locator("[aria-current=page]").inner_text() == "1"
        assert page.locator("a.right-next").get_attribute("href") == "09_bridge_seed1.html"
        bar.get_by_role("link", name="0").click()
        page.wait_for_url("**/08_error.html")


def test_a_page_of_all_seeds_has_no_bar(browser: Any, book: Path) -> None:
    with opened(browser, (book / "01_extraction.html").as_uri()) as page:
        assert page.locator("nav.seeds").count() == 0


def column(page: Any, number: int) -> list[list[str]]:
    """The texts of a column of the claims' table, group by group."""
    return page.evaluate(
        "n => [...document.querySelectorAll('#claims tbody')].map(body =>"
        " [...body.rows].slice(1).map(row => row.cells[n].innerText.trim()))",
        number,
    )


def numbers(groups: list[list[str]]) -> list[list[float]]:
    """The estimates of each group; where there is none, the words of the verdict count as beyond every number."""
    return [
        [float(text.split()[0].replace(",", "")) if text[0] in "-0123456789" else math.inf for text in group]
        for group in groups
    ]


def test_claims_are_sorted_within_their_groups_and_the_third_click_restores_the_ledgers_order(
    browser: Any, book: Path
) -> None:
    with opened(browser, (book / "index.html").as_uri()) as page:
        before = column(page, 0)
        head = page.locator("#claims thead th").nth(1)
        button = head.get_by_role("button")
        button.focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        rising = numbers(column(page, 1))
        assert max(map(len, rising)) > 2
        assert rising == [sorted(group) for group in rising]
        assert [sorted(group) for group in column(page, 0)] == [sorted(group) for group in before]
        button.click()
        assert head.get_attribute("aria-sort") == "descending"
        falling = [[-number if number < math.inf else number for number in group] for group in numbers(column(page, 1))]
        assert falling == [sorted(group) for group in falling], "and what has no number is last again"
        button.click()
        assert head.get_attribute("aria-sort") is None
        assert column(page, 0) == before


def test_without_scripts_the_table_is_plain_and_complete(browser: Any, book: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((book / "index.html").as_uri())
    assert page.locator("#claims button").count() == 0
    assert page.locator("#claims tbody tr").count() > 10
    context.close()


def test_the_search_finds_a_page_and_opens_it(browser: Any, site: str) -> None:
    with opened(browser, f"{site}/index.html") as page:
        page.keyboard.press("Control+k")
        page.locator("#pst-search-dialog input[name=q]").fill("blind-spot")
        page.keyboard.press("Enter")
        page.wait_for_url("**/search.html?q=blind-spot*")
        found = page.locator("#search-results a[href^='08_error.html']").first
        found.wait_for(timeout=20000)
        found.click()
        page.wait_for_url("**/08_error.html*")
        assert "blind-spot" in page.locator("article").inner_text().lower()
