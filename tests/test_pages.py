"""The rendered files: what needs no browser to be seen. What does is in tests/browser/."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def html(ci_book: Path) -> Path:
    return ci_book / "_build" / "html"


def test_every_chapter_ends_with_where_its_numbers_come_from(html: Path) -> None:
    assert "Provenance: ci, commit" in (html / "03_training.html").read_text()


def test_the_second_seeds_run_is_a_page_of_its_own(html: Path) -> None:
    page = (html / "05_z_characterisation_seed1.html").read_text()
    assert ", seed 1<" in page
    assert "05_z_characterisation_seed1.html" in (html / "05_z_characterisation.html").read_text()


def test_pages_are_small_and_name_no_path_of_this_machine(ci_book: Path, html: Path) -> None:
    for page in html.glob("*.html"):
        assert page.stat().st_size < 2_000_000, page.name
        text = page.read_text()
        assert str(ci_book) not in text, page.name
        assert "site-packages" not in text, page.name
    for source in (html / "_sources").glob("*.ipynb"):
        assert str(ci_book) not in source.read_text(), source.name


def test_pages_name_no_script_style_or_picture_of_another_machine(html: Path) -> None:
    fetched = r'<(?:script|link|img)[^>]*(?:src|href)="((?:https?:)?//[^"]*)"'
    found = {page.name: re.findall(fetched, page.read_text()) for page in html.glob("*.html")}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}
