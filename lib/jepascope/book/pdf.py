"""The book as one PDF: the rendered pages joined in reading order and printed by Chromium.

The pages are those that readers have, so paper and screen can't differ in a number; what is left out is code, and the
runs of other seeds than the reference. Links between chapters lead to places in the PDF.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import yaml

from jepascope.book.chapter import RESULTS, run_folder
from jepascope.book.reading import RUN_OF, SEED_PAGE
from jepascope.params import project_root
from jepascope.publish.tiers import BANNERS, banners, profile_of
from jepascope.store import StoreError, atomic

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = re.compile(r'(\s(?:id|for|aria-labelledby)=")([^"]+)"')
LINKS = re.compile(r'(\shref=")([^"]*)"')
FILES = re.compile(r'(\ssrc=")(?!data:|https?:)([^"]+)"')
SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)
STYLES = re.compile(r'<link[^>]*\srel="stylesheet"[^>]*>')
MATHJAX = '{"options": {"processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"}}'


class About(NamedTuple):
    """What the title page says of the run."""

    title: str
    tier: str
    profile: str
    commit: str
    date: str  # when the front page's run finished, UTC
    seed: str  # the reference seed, "" where no chapter runs per seed
    others: int  # pages of other seeds, left out


def make_pdf(folder: Path, out: Path, profile: str | None = None) -> int:
    """Print the pages rendered in `folder` to `out`, and return how many chapters are in it.

    Raises FileNotFoundError when there are no pages or no Chromium, StoreError when the pages are of another profile
    than `profile`, RuntimeError when Chromium fails.
    """
    front = folder / "index.html"
    if not front.exists():
        raise FileNotFoundError(f"{folder} holds no book yet: `jepascope build` renders it")
    found = profile_of(front.read_text())
    if profile is not None and found != profile:
        raise StoreError(f"{folder} shows profile {found}: `jepascope build --profile {profile}` renders the other")
    chromium = find_chromium()
    parts = _parts(folder)
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "book.html"
        source.write_text(join(folder, parts, about(folder)))
        with atomic(out) as temporary:
            _print(chromium, source, temporary, Path(name) / "browser")
    return sum(map(len, parts.values()))


def find_chromium() -> str:
    """Find a Chromium to print with. Raises FileNotFoundError, saying what to install, when there is none."""
    for name in CHROMIUM:
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(
        f"no Chromium on this machine (looked for {', '.join(CHROMIUM)}): the PDF is printed by one; "
        "`apt install chromium`, or install Chrome, and run the command again"
    )


def about(folder: Path) -> About:
    """Read off the pages, and the front page's run, what the title page says. Raises StoreError for no run's pages."""
    front = (folder / "index.html").read_text()
    title = re.search(r"<title>(.*?)</title>", front, re.DOTALL)
    commit = re.search(r"<th>commit</th><td>([^<]*)</td>", front)
    profile = profile_of(front)
    if title is None or commit is None or profile is None:
        raise StoreError(f"{folder / 'index.html'} names no run: `jepascope build` renders pages that do")
    results = run_folder(profile, "index", None) / RESULTS
    made = (results if results.exists() else folder / "index.html").stat().st_mtime
    pages = sorted(folder.glob("*.html"))
    others = [page for page in pages if SEED_PAGE.fullmatch(page.stem)]
    runs = (RUN_OF.search(page.read_text()) for page in pages if page not in others)
    seed = next((run[1] for run in runs if run), "")
    date = datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d")
    tier = BANNERS[banners(front).pop()]
    name = html.unescape(title[1]).rpartition("—")[2].strip()  # "page — book"
    return About(name, tier, profile, commit[1], date, seed, len(others))


def join(folder: Path, parts: Mapping[str, Sequence[str]], told: About) -> str:
    """Join pages to one: title page, contents, then every page's article, in order.

    folder: of the rendered pages; parts: caption of a part -> names of its pages.
    """
    names = [name for part in parts.values() for name in part]
    articles = {name: _article(folder, name, set(names)) for name in names}
    head = "".join(_here(folder, link) for link in STYLES.findall((folder / "index.html").read_text()))
    script = (folder / "_static" / "mathjax" / "tex-chtml.js").as_uri()
    contents = "".join(
        f'<li class="part">{html.escape(caption)}</li>'
        + "".join(f'<li><a href="#{name}">{_heading(articles[name])}</a></li>' for name in part)
        for caption, part in parts.items()
    )
    pages = "".join(f'<section class="book-page" id="{name}">{article}</section>' for name, article in articles.items())
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(told.title)}</title>{head}"
        f'<script>window.MathJax = {MATHJAX}</script><script defer src="{script}"></script></head>'
        f'<body><main class="bd-content"><div class="bd-article">{_title_page(told)}'
        f'<nav class="book-contents"><h2>Contents</h2><ul>{contents}</ul></nav>{pages}</div></main></body></html>'
    )


def _parts(folder: Path) -> dict[str, list[str]]:
    """The pages in reading order, by part: those of the table of contents that are rendered."""
    toc = yaml.safe_load((project_root() / "_toc.yml").read_text())
    parts = {"": [toc["root"]]}
    parts |= {part["caption"]: [entry["file"] for entry in part["chapters"]] for part in toc["parts"]}
    return {caption: [name for name in names if (folder / f"{name}.html").exists()] for caption, names in parts.items()}


def _article(folder: Path, name: str, names: set[str]) -> str:
    """A page's article with places of its own: `id` becomes `name.id`, and links lead there or nowhere."""
    page = (folder / f"{name}.html").read_text()
    article = page[page.index("<article") : page.rindex("</article>")]
    article = SCRIPTS.sub("", article[article.index(">") + 1 :]).replace("<details", "<details open")
    article = PLACES.sub(lambda found: f'{found[1]}{name}.{found[2]}"', article)
    return _here(folder, LINKS.sub(lambda found: _inside(name, found[2], names), article))


def _inside(name: str, target: str, names: set[str]) -> str:
    """Where a link leads within the joined pages; one to a page that is left out leads nowhere."""
    if target.startswith(("http://", "https://")):
        return f' href="{target}"'
    page, _, place = target.partition("#")
    other = page.removesuffix(".html") or name
    return f' href="#{other}{"." if place else ""}{place}"' if other in names else ""


def _here(folder: Path, markup: str) -> str:
    """Let the files that markup names be found from anywhere."""
    markup = FILES.sub(lambda found: f'{found[1]}{(folder / found[2]).as_uri()}"', markup)
    if not markup.startswith("<link"):
        return markup
    return LINKS.sub(lambda found: f'{found[1]}{(folder / found[2].partition("?")[0]).as_uri()}"', markup)


def _heading(article: str) -> str:
    found = re.search(r"<h1>(.*?)(?:<a |</h1>)", article, re.DOTALL)
    return found[1] if found else ""


def _title_page(told: About) -> str:
    left_out = f" The other seeds' runs (pages of their own: {told.others}) are left out." if told.others else ""
    seed = f" Chapters that run once per seed are those of seed {told.seed}.{left_out}" if told.seed else ""
    return (
        f'<section class="book-title"><h1>{html.escape(told.title)}</h1><p class="tier">{html.escape(told.tier)}</p>'
        f"<p>Profile {html.escape(told.profile)}.{seed}</p>"
        f"<p>Run of {told.date}, commit {html.escape(told.commit)}.</p>"
        "<p>Code is left out; the end of each chapter says what its numbers follow from.</p></section>"
    )


def _print(chromium: str, source: Path, out: Path, profile: Path) -> None:
    """Print a page with Chromium. Virtual time lets its scripts (the maths) end before it prints."""
    command = [
        *(chromium, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--allow-file-access-from-files"),
        *(f"--user-data-dir={profile}", "--virtual-time-budget=120000", "--no-pdf-header-footer"),
        *("--generate-pdf-document-outline", f"--print-to-pdf={out}"),
    ]
    if os.geteuid() == 0:  # Chromium's sandbox refuses to start as root; the page is our own
        command.append("--no-sandbox")
    done = subprocess.run([*command, source.as_uri()], capture_output=True, text=True)
    if done.returncode or not out.exists() or not out.stat().st_size:
        raise RuntimeError(f"Chromium printed no PDF:\n{done.stderr[-2000:]}")
