"""Pages joined for printing: links lead to places within, what is left out is gone, the title tells the run."""

import os
import re
from pathlib import Path

import pytest

from jepascope.book import pdf
from jepascope.book.pdf import about, join, make_pdf
from jepascope.cli import main
from jepascope.publish import command
from jepascope.publish.tiers import BANNERS
from jepascope.store import StoreError, write_json
from tests.publish import trees
from tests.publish.trees import IDS, figure, png, table, write_tree

BANNER = f"{BANNERS['synthetic']} Profile <strong>ci</strong>."
KEY = "0123456789ab"
ROWS = (
    "<tr><th>profile, seed</th><td>ci, {}</td></tr><tr><th>commit</th><td>abc123</td></tr>"
    f"<tr><th>key</th><td>{KEY}</td></tr>"
)


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
    assert '<p class="tier">Synthetic cohort with planted truth: not a clinical result.</p>' in page
    assert '@top-center { content: "Synthetic cohort with planted truth: not a clinical result."' in page
    assert "seed 7. The other seeds' runs (pages of their own: 1) are left out" in page
    assert "<p>Commit abc123. </p>" in page  # the run itself isn't here, and a file's time says nothing of it


def test_the_title_page_tells_the_day_on_which_the_shown_run_ended(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "params").mkdir()
    (tmp_path / "_config.yml").write_text("")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "ci" / "all" / "index"
    write_json(run / "results.json", {"key": KEY + "cdef"})
    write_json(run / "executed.ipynb", {"metadata": {"papermill": {"end_time": "2026-03-01T23:30:00-05:00"}}})
    assert about(pages).date == "2026-03-02"
    assert "Run of 2026-03-02, commit abc123." in join(pages, {"": ["index"]}, about(pages))
    write_json(run / "results.json", {"key": "another run, made since"})
    assert about(pages).date == ""


@pytest.fixture
def credentialed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Credentialed pages that nothing stands against, and a printer that would print them."""
    folder = write_tree(tmp_path / "strict", "credentialed")
    article = f"<article>One {table()}{figure(png())}</article>"
    trees.write_page(folder, "credentialed", f"<title>A — B</title>{article}<table>{ROWS.format('all seeds')}</table>")
    monkeypatch.setattr(command, "filter_of_profile", lambda profile: IDS)
    monkeypatch.setattr(pdf, "find_chromium", lambda: "chromium")
    monkeypatch.setattr(pdf, "_print", lambda chromium, source, out, pages: out.write_text(source.read_text()))
    return folder


def test_credentialed_pages_are_printed_only_as_they_were_checked_and_say_by_whom(
    credentialed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out" / "book.pdf"
    with pytest.raises(StoreError, match="no manifest: `jepascope publish-check"):
        make_pdf(credentialed, out)
    front = credentialed / "index.html"
    assert command.publish_check(credentialed, "A Reviewer") == 0
    make_pdf(credentialed, out)
    assert re.search(r"Checked for disclosure by A Reviewer, \d{4}-\d\d-\d\d\.", out.read_text())
    out.unlink()
    front.write_text(front.read_text().replace("One", "Two"))
    with pytest.raises(StoreError, match="aren't fit to be printed"):
        make_pdf(credentialed, out)
    assert not out.exists()


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


@pytest.mark.parametrize(("sheets", "status", "reason"), [(1, 0, "printed 1 sheets of 2 pages"), (9, 1, "no display")])
def test_a_browser_that_fails_or_prints_its_error_page_makes_no_pdf(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sheets: int, status: int, reason: str
) -> None:
    printer = tmp_path / "chromium"
    printer.write_text(
        f"""#!/bin/sh
for word; do case "$word" in --print-to-pdf=*) out="${{word#*=}}" ;; esac; done
for sheet in {" ".join(map(str, range(sheets)))}; do echo "/Type /Page" >> "$out"; done
echo no display >&2
exit {status}
"""
    )
    printer.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(pdf, "_parts", lambda folder: {"": ["index", "08_error"]})
    with pytest.raises(RuntimeError, match=reason):
        make_pdf(pages, tmp_path / "out" / "book.pdf")
    assert not list((tmp_path / "out").iterdir())


def test_a_browser_that_hangs_is_not_waited_for_for_ever(
    pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printer = tmp_path / "chromium"
    printer.write_text("#!/bin/sh\nexec sleep 60\n")
    printer.chmod(0o755)
    monkeypatch.setattr(pdf, "find_chromium", lambda: str(printer))
    monkeypatch.setattr(pdf, "PATIENCE", 0.1)
    with pytest.raises(RuntimeError, match="printed nothing"):
        make_pdf(pages, tmp_path / "book.pdf")
