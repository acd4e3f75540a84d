"""Pages joined for printing: links lead to places within, what is left out is gone, the title tells the run."""

import re
from pathlib import Path

import pytest

from jepascope.book import pdf
from jepascope.book.pdf import about, join, make_pdf
from jepascope.cli import main
from jepascope.store import StoreError

BANNER = "Synthetic cohort with planted truth: not a clinical result. Profile <strong>ci</strong>."
ROWS = "<tr><th>profile, seed</th><td>ci, {}</td></tr><tr><th>commit</th><td>abc123</td></tr>"


def write_page(folder: Path, name: str, body: str, seed: int | str = 7) -> None:
    provenance = f'<details id="provenance"><table>{ROWS.format(seed)}</table></details>'
    style = '<link rel="stylesheet" href="_static/book.css?v=1" />'
    (folder / f"{name}.html").write_text(
        f"<html><head><title>Front &#8212; The book</title>{style}</head><body>{BANNER}<nav>sidebar</nav>"
        f'<article class="bd-article"><h1>{name} of all<a class="headerlink" href="#x">#</a></h1>{body}{provenance}'
        "<script>gone()</script></article></body></html>"
    )


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    folder = tmp_path / "html"
    folder.mkdir()
    write_page(
        folder, "index", '<p><a href="08_error.html#part">a</a><a href="08_error_seed1.html">b</a></p>', "all seeds"
    )
    write_page(folder, "08_error", '<h2 id="part">Part</h2><a href="#part">c</a><a href="https://doi.org/1">d</a>')
    write_page(folder, "08_error_seed1", "<p>another seed</p>", 1)
    return folder


def test_links_lead_to_places_within_and_a_page_left_out_is_no_link(pages: Path) -> None:
    joined = join(pages, {"": ["index"], "Opening it": ["08_error"]}, about(pages))
    assert '<a href="#08_error.part">a</a>' in joined
    assert "<a>b</a>" in joined
    assert '<a href="https://doi.org/1">d</a>' in joined
    places = re.findall(r'\sid="([^"]+)"', joined)
    assert len(places) == len(set(places))
    assert {"index", "08_error", "08_error.part", "08_error.provenance"} <= set(places)
    assert set(re.findall(r'href="#([^"]+)"', joined)) - {"index.x", "08_error.x"} <= set(places)


def test_the_joined_pages_hold_articles_in_order_and_neither_sidebars_nor_scripts_nor_other_seeds(pages: Path) -> None:
    joined = join(pages, {"": ["index"], "Opening it": ["08_error"]}, about(pages))
    headings = re.findall(r"<h1>([^<]*)", joined)
    assert headings == ["The book", "index of all", "08_error of all"]
    assert not re.search("sidebar|gone|another seed", joined)
    assert f'href="{(pages / "_static" / "book.css").as_uri()}"' in joined


def test_the_title_page_tells_tier_profile_seed_commit_and_what_is_left_out(pages: Path) -> None:
    told = about(pages)
    assert (told.title, told.profile, told.commit, told.seed, told.others) == ("The book", "ci", "abc123", "7", 1)
    page = join(pages, {"": ["index"]}, told)
    assert "not a clinical result" in page
    assert "seed 7. The other seeds' runs (pages of their own: 1) are left out" in page
    assert re.search(r"Run of \d{4}-\d\d-\d\d, commit abc123", page)


def test_what_is_missing_is_said_with_what_mends_it(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError, match="jepascope build"):
        make_pdf(tmp_path, tmp_path / "book.pdf")
    with pytest.raises(StoreError, match="shows profile ci: `jepascope build --profile synthetic`"):
        make_pdf(pages, tmp_path / "book.pdf", "synthetic")
    monkeypatch.setattr(pdf.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="no Chromium.*apt install chromium"):
        make_pdf(pages, tmp_path / "book.pdf", "ci")
    monkeypatch.setattr("jepascope.cli.pages.project_root", lambda: tmp_path)
    with pytest.raises(SystemExit, match="holds no book yet"):
        main(["pdf"])
