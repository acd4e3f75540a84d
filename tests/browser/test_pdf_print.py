"""The book as a PDF, printed by a real Chromium from the real pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jepascope.cli import main
from tests.conftest import jepascope

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def printed(chromium: str, ci_book: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("pdf") / "book.pdf"
    done = jepascope(ci_book, "pdf", "--profile", "ci", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out.read_bytes()


def test_the_pdf_is_whole_and_has_a_page_and_an_outline_for_every_chapter(printed: bytes, ci_book: Path) -> None:
    assert printed.startswith(b"%PDF")
    assert printed.rstrip().endswith(b"%%EOF")
    chapters = len(list((ci_book / "book").glob("*.md")))
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > chapters
    assert printed.count(b"/Title") > chapters


def test_links_lead_within_the_pdf_and_none_to_a_file_of_this_machine(printed: bytes) -> None:
    assert printed.count(b"/Dest") > 100
    assert b"file:" not in printed


def test_pages_of_another_profile_are_not_printed(
    ci_book: Path, chromium: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ci_book)
    with pytest.raises(SystemExit, match="jepascope build --profile synthetic"):
        main(["pdf", "--profile", "synthetic", "--out", str(tmp_path / "book.pdf")])
    assert not list(tmp_path.iterdir())
