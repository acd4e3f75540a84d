"""The rendered book in headless Chromium: what a reader sees."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import CLAIMS

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--virtual-time-budget=8000",
    "--enable-logging=stderr", "--allow-file-access-from-files",
]  # fmt: skip
# The theme declares the first twice on every page; the others are its diary.
KNOWN_MESSAGES = ("'THEBE_JS_URL' has already been declared", "[PST]: ", "[togglebutton]: Adding")

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")]


class Page:
    """A page as the browser ends up with it, and what it said on its console."""

    def __init__(self, path: Path, profile: Path) -> None:
        command = [str(BROWSER), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", path.as_uri()]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120)
        self.html = run.stdout
        spoken = [line for line in run.stderr.splitlines() if "CONSOLE" in line]
        self.console = [line for line in spoken if not any(known in line for known in KNOWN_MESSAGES)]


@pytest.fixture(scope="module")
def pages(ci_book: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Page]:
    html = ci_book / "_build" / "html"
    names = ("index", *dict.fromkeys(CLAIMS.values()), "notation")
    return {name: Page(html / f"{name}.html", tmp_path_factory.mktemp("browser")) for name in names}


def test_pages_load_from_disk_without_a_message_on_the_console(pages: dict[str, Page]) -> None:
    assert {name: page.console for name, page in pages.items() if page.console} == {}


def test_the_front_page_shows_every_claim_linked_to_its_chapter(pages: dict[str, Page], ci_book: Path) -> None:
    table = re.search(r'<table id="claims".*?</table>', pages["index"].html, re.DOTALL)
    assert table is not None
    links = set(re.findall(r'href="([^"]+)"', table.group()))
    assert links == {f"{chapter}.html" for chapter in CLAIMS.values()}
    assert all((ci_book / "_build" / "html" / link).exists() for link in links)
    assert table.group().count("<tr>") == 1 + len(CLAIMS)
    assert "seed 0" in table.group()
    assert "seed 1" in table.group()


def test_maths_is_typeset_without_a_network(pages: dict[str, Page]) -> None:
    for name in ("03_training", "05_z_characterisation", "notation"):
        assert "<mjx-container" in pages[name].html, name
    fetched = r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]*)"'
    assert {name: re.findall(fetched, page.html) for name, page in pages.items()} == {name: [] for name in pages}


def test_a_chapter_shows_its_claim_with_a_verdict_before_its_first_figure(pages: dict[str, Page]) -> None:
    html = pages["03_training"].html
    assert 0 < html.index('class="claim"') < html.index("<figure")
    assert re.search(r'class="verdict \w+">(holds|does not hold|not computable here)', html)


def test_every_figure_has_alternative_text_and_a_caption(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for figure in re.findall(r'<figure id="figure-.*?</figure>', page.html, re.DOTALL):
            assert re.search(r'alt="[^"]{20,}"', figure), name
            assert re.search(r"<figcaption>[^<]{40,}", figure), name


def test_every_page_carries_the_tiers_banner(pages: dict[str, Page]) -> None:
    assert all("not a clinical result" in page.html for page in pages.values())


def test_every_chapter_ends_with_where_its_numbers_come_from(pages: dict[str, Page]) -> None:
    assert "Provenance: ci, commit" in pages["03_training"].html


def test_the_second_seeds_run_is_a_page_of_its_own(ci_book: Path) -> None:
    page = (ci_book / "_build" / "html" / "05_z_characterisation_seed1.html").read_text()
    assert ", seed 1<" in page
    assert (
        "05_z_characterisation_seed1.html" in (ci_book / "_build" / "html" / "05_z_characterisation.html").read_text()
    )


def test_pages_are_small_and_name_no_path_of_this_machine(ci_book: Path) -> None:
    for page in (ci_book / "_build" / "html").glob("*.html"):
        assert page.stat().st_size < 2_000_000, page.name
        text = page.read_text()
        assert str(ci_book) not in text, page.name
        assert "site-packages" not in text, page.name
    for source in (ci_book / "_build" / "html" / "_sources").glob("*.ipynb"):
        assert str(ci_book) not in source.read_text(), source.name
