"""Every page of the rendered book, as a browser ends up with it.

One visit serves all tests here, and no other file: tests are dealt to processes by file, and each would make its own.
JEPASCOPE_SCREENSHOTS names a folder that gets a picture of every page.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jepascope.book.notebooks import read_book
from tests.browser.conftest import PHONE, STICKS_OUT, opened, serious

pytestmark = pytest.mark.browser

# What the theme notes down for itself on every page.
DIARY = ("[PST]: ", "[togglebutton]: Adding")
PICTURES = """figures => figures.map(figure => ({
  alt: figure.querySelector("img")?.alt ?? "",
  said: figure.querySelector("figcaption")?.textContent ?? "",
}))"""


class Visit(NamedTuple):
    """What one look at a page found."""

    said: list[str]  # on its console
    asked: list[str]  # addresses that are no file of this machine
    axe: list[str]  # what axe-core holds to be serious or critical
    pictures: list[dict[str, str]]  # alt and caption of each figure
    wide: list[str]  # what sticks out of a phone's width
    html: str


@pytest.fixture(scope="module")
def visits(browser: Any, book: Path) -> dict[str, Visit]:
    """Every page, at a desk and then at a phone's width."""
    return {page.stem: _visit(browser, page) for page in sorted(book.glob("*.html"))}


def _visit(browser: Any, file: Path) -> Visit:
    with opened(browser, file.as_uri()) as page:
        if shots := os.environ.get("JEPASCOPE_SCREENSHOTS"):
            page.screenshot(path=Path(shots) / f"{file.stem}.png", full_page=True)
        axe = serious(page)
        pictures = page.eval_on_selector_all("figure", PICTURES)
        page.set_viewport_size(PHONE)
        said = [text for text in page.said if not text.startswith(DIARY)]
        asked = [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))]
        return Visit(said, asked, axe, pictures, page.evaluate(STICKS_OUT), page.content())


@pytest.fixture(scope="module")
def claims(ci_book: Path) -> dict[str, str]:
    """Every claim's box, as the rendered chapters name them: claim -> chapter."""
    chapters = read_book(ci_book / "book").chapters
    return {name: chapter.name for chapter in chapters for name in re.findall(r"```\{glue:md\} (\w+)", chapter.text)}


def test_pages_load_from_disk_without_a_message_on_the_console(visits: dict[str, Visit]) -> None:
    assert {name: visit.said for name, visit in visits.items() if visit.said} == {}


def test_no_page_has_a_serious_or_critical_fault(visits: dict[str, Visit]) -> None:
    assert {name: visit.axe for name, visit in visits.items() if visit.axe} == {}


def test_pages_ask_nothing_of_a_network(visits: dict[str, Visit]) -> None:
    assert {name: visit.asked for name, visit in visits.items() if visit.asked} == {}


def test_no_page_scrolls_sideways_on_a_phone(visits: dict[str, Visit]) -> None:
    assert {name: visit.wide for name, visit in visits.items() if visit.wide} == {}


def test_every_figure_has_alternative_text_and_a_caption(visits: dict[str, Visit]) -> None:
    assert sum(len(visit.pictures) for visit in visits.values()) > 50
    for name, visit in visits.items():
        for picture in visit.pictures:
            assert len(picture["alt"]) >= 20, name
            assert len(picture["said"]) >= 40, name


def test_maths_is_typeset(visits: dict[str, Visit]) -> None:
    for name in ("03_training", "05_z_characterisation", "notation"):
        assert "<mjx-container" in visits[name].html, name
        assert "<mjx-merror" not in visits[name].html, name


def test_every_page_carries_the_tiers_banner(visits: dict[str, Visit]) -> None:
    assert [name for name, visit in visits.items() if "not a clinical result" not in visit.html] == []


def test_every_number_of_a_chapter_has_a_provenance_to_lead_to(
    visits: dict[str, Visit], claims: dict[str, str]
) -> None:
    led = {name: visit for name, visit in visits.items() if 'href="#provenance"' in visit.html}
    assert set(claims.values()) <= set(led)
    assert [name for name, visit in led.items() if visit.html.count('id="provenance"') != 1] == []
    for name, visit in led.items():
        article = visit.html[visit.html.index("<article") :]
        glued = re.findall(r'(<a[^>]*class="made[^>]*>)?<span class="pasted-text">', article)
        assert all(glued), name


def test_a_chapter_shows_its_claim_with_a_verdict_before_its_first_figure(visits: dict[str, Visit]) -> None:
    html = visits["03_training"].html
    assert 0 < html.index('class="claim"') < html.index("<figure")
    assert re.search(r'class="verdict \w+">(holds|does not hold|not computable here)', html)


def test_the_front_page_shows_every_claim_linked_to_its_chapter(
    visits: dict[str, Visit], book: Path, claims: dict[str, str]
) -> None:
    table = re.search(r'<table id="claims".*?</table>', visits["index"].html, re.DOTALL)
    assert table is not None
    links = set(re.findall(r'href="([^"#]+)"', table.group()))
    assert links == {f"{chapter}.html" for chapter in claims.values()}
    numbers = {link.partition("#")[0] for link in re.findall(r'href="([^"]+#provenance)"', table.group())}
    assert {"08_error.html", "08_error_seed1.html"} <= numbers
    assert all((book / link).exists() for link in links | numbers)
    assert len(re.findall(r"<tr(?! class=.fared)[^>]*>", table.group())) == 1 + len(claims)
