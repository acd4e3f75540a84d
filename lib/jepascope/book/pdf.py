"""The book as one PDF: the rendered pages joined in reading order and printed by Chromium.

The pages are those that readers have, so paper and screen can't differ in a number; what is left out is code, and the
runs of other seeds than the reference. Links between chapters lead to places in the PDF.

A PDF is made to be passed on, and the publish gate can't look into it. So of credentialed pages it is printed only from
those that the gate has let out and a person has signed for.
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
from shlex import quote
from typing import NamedTuple

import yaml

from jepascope.book.standing import EXECUTED
from jepascope.params import project_root
from jepascope.publish.command import read_checked, report
from jepascope.publish.runs import Run, results_of, runs_of
from jepascope.publish.tiers import BANNERS, banners, profile_of
from jepascope.publish.tree import MANIFEST
from jepascope.store import StoreError, atomic, read_json

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = re.compile(r'(\s(?:id|for|aria-labelledby)=")([^"]+)"')
LINKS = re.compile(r'(\shref=")([^"]*)"')
FILES = re.compile(r'(\ssrc=")(?!data:|https?:)([^"]+)"')
SCRIPTS = re.compile(r"<script\b.*?</script>", re.DOTALL)
STYLES = re.compile(r'<link[^>]*\srel="stylesheet"[^>]*>')
SHEETS = re.compile(rb"/Type\s*/Page\b")
PATIENCE = 900  # seconds; the whole book takes some tens
MATHJAX = '{"options": {"processHtmlClass": "tex2jax_process|mathjax_process|math|output_area"}}'


class About(NamedTuple):
    """What the title page says of the run."""

    title: str
    tier: str
    profile: str
    commit: str
    date: str  # when the front page's run finished, UTC; "" where that run isn't here any more
    seed: str  # the reference seed, "" where no chapter runs per seed
    others: int  # pages of other seeds, left out
    checked: str  # who let the pages out, when; "" where nobody had to


def make_pdf(folder: Path, out: Path, profile: str | None = None) -> int:
    """Print the pages rendered in `folder` to `out`, and return how many chapters are in it.

    Raises FileNotFoundError when there are no pages or no Chromium, StoreError when the pages are of another profile
    than `profile`, or credentialed and not checked, RuntimeError when Chromium fails.
    """
    front = folder / "index.html"
    if not front.exists():
        raise FileNotFoundError(f"{folder} holds no book yet: `jepascope build` renders it")
    found = profile_of(front.read_text())
    if profile is not None and found != profile:
        raise StoreError(f"{folder} shows profile {found}: `jepascope build --profile {profile}` renders the other")
    chromium, told, parts = find_chromium(), about(folder), _parts(folder)
    pages = sum(map(len, parts.values()))
    out.parent.mkdir(parents=True, exist_ok=True)
    # Beside the PDF, since a packaged Chromium may not see /tmp.
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".pdf-", ignore_cleanup_errors=True) as name:
        source = Path(name) / "book.html"
        source.write_text(join(folder, parts, told))
        with atomic(out) as temporary:
            _print(chromium, source, temporary, pages)
    return pages


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
    """Read off the pages, and the front page's run, what the title page says.

    Raises StoreError when the pages name no run, and when they are credentialed and haven't been checked.
    """
    text = (folder / "index.html").read_text()
    title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    runs = runs_of(folder)
    front = next((run for run in runs if run.page == "index"), None)
    if title is None or front is None or not banners(text):
        raise StoreError(f"{folder / 'index.html'} names no run: `jepascope build` renders pages that do")
    tier = min(banners(text))
    seed = next((run.seed for run in runs if run.page == run.chapter and run.seed != "all"), "")
    others = sum(run.page != run.chapter for run in runs)
    name = html.unescape(title[1]).rpartition("—")[2].strip()  # "page — book"
    checked = _checked(folder) if tier == "credentialed" else ""
    return About(name, BANNERS[tier], front.profile, front.commit, _finished(front), seed, others, checked)


def _finished(run: Run) -> str:
    """The day on which papermill ended the run that a page shows."""
    try:
        results_of(run)
        ended = read_json(run.folder / EXECUTED)["metadata"]["papermill"]["end_time"]
    except (StoreError, KeyError):
        return ""
    return datetime.fromisoformat(ended).astimezone(UTC).strftime("%Y-%m-%d")


def _checked(folder: Path) -> str:
    """Who let the pages out, and when. Raises StoreError when nobody has, or when they have changed since."""
    alarms = read_checked(folder)[1]
    report(alarms)
    if alarms:
        mend = f"`jepascope publish-check {quote(str(folder))} --reviewer NAME` checks them"
        raise StoreError(f"{folder}: these credentialed pages aren't fit to be printed: {mend}")
    manifest = read_json(folder / MANIFEST)
    return f"Checked for disclosure by {manifest['reviewer']}, {manifest['checked'][:10]}."


def join(folder: Path, parts: Mapping[str, Sequence[str]], told: About) -> str:
    """Join pages to one: title page, contents, then every page's article, in order.

    folder: of the rendered pages; parts: caption of a part -> names of its pages.
    """
    names = [name for part in parts.values() for name in part]
    articles = {name: _article(folder, name, set(names)) for name in names}
    head = "".join(_here(folder, link) for link in STYLES.findall((folder / "index.html").read_text()))
    script = (folder / "_static" / "mathjax" / "tex-chtml.js").as_uri()
    contents = "".join(
        (f'<li class="part">{html.escape(caption)}</li>' if caption else "")
        + "".join(f'<li><a href="#{name}">{_heading(articles[name])}</a></li>' for name in part)
        for caption, part in parts.items()
    )
    pages = "".join(f'<section class="book-page" id="{name}">{article}</section>' for name, article in articles.items())
    return (
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{html.escape(told.title)}</title>{head}"
        f'<style>@page {{ @top-center {{ content: "{told.tier}"; font-size: 8pt }} }}</style>'  # a sheet may go alone
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
    when = f"Run of {told.date}, commit" if told.date else "Commit"
    return (
        f'<section class="book-title"><h1>{html.escape(told.title)}</h1><p class="tier">{html.escape(told.tier)}</p>'
        f"<p>Profile {html.escape(told.profile)}.{seed}</p>"
        f"<p>{when} {html.escape(told.commit)}. {html.escape(told.checked)}</p>"
        "<p>Code is left out; the end of each chapter says what its numbers follow from.</p></section>"
    )


def _print(chromium: str, source: Path, out: Path, pages: int) -> None:
    """Print a page with Chromium. Virtual time lets its scripts (the maths) end before it prints.

    pages: of the book, each of which begins on a sheet of its own; fewer sheets are an error page, printed as well.
    """
    command = [
        *(chromium, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--allow-file-access-from-files"),
        *(f"--user-data-dir={source.parent / 'browser'}", "--virtual-time-budget=120000", "--no-pdf-header-footer"),
        *("--generate-pdf-document-outline", f"--print-to-pdf={out}"),
    ]
    if os.geteuid() == 0:  # Chromium's sandbox refuses to start as root; the page is our own
        command.append("--no-sandbox")
    try:
        done = subprocess.run([*command, source.as_uri()], capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"{chromium} printed nothing in {PATIENCE} s: run the command again") from error
    sheets = len(SHEETS.findall(out.read_bytes())) if out.exists() else 0
    if done.returncode or sheets < pages:
        raise RuntimeError(f"{chromium} printed {sheets} sheets of {pages} pages of {source}:\n{done.stderr[-2000:]}")
