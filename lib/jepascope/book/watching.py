"""Writing with the page beside you: what is saved is run as far as it must be, rendered, and shown in the browser.

New prose is woven into the pages that have run. Code of a chapter or of the library, and parameters, run what follows
from them, by the same graph as the whole book. What fails is said in the terminal; the last good pages stay.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from jepascope.book.notebooks import ChapterError, ChapterSource, book_folder, read_book
from jepascope.book.run import only_one, run_all, run_chapter
from jepascope.book.staging import stage
from jepascope.book.standing import RESULTS, is_computed
from jepascope.closure import PACKAGE, look_again
from jepascope.params import load_profile, params_folder, project_root
from jepascope.store import atomic, read_json

SUFFIXES = {".md", ".bib", ".css", ".js", ".svg", ".png", ".py", ".sql", ".yaml", ".yml"}
# What a person can mend, or is in the middle of typing.
FAULTS = (ValueError, RuntimeError, OSError, SyntaxError)
RENDERED = "rendered.txt"  # touched when pages are new: the browser is told
Say = Callable[[str], None]


def watch(profile: str, seeds: Sequence[int], jobs: int, port: int, say: Say) -> None:
    """Show the profile's pages at `port` of this machine and keep them up to date until interrupted.

    `say` gets a line for all that is done, with its seconds. Raises ChapterError when another watch is under way or
    what it needs is not installed.
    """
    try:
        from watchfiles import watch as changes
    except ImportError as error:
        message = "watchfiles and livereload are needed: `pip install -c constraints.txt -e '.[edit]'` installs them"
        raise ChapterError(message) from error
    from jepascope.book.rendering import Renderer

    target = project_root() / "_build" / "watch"
    with only_one(target, "watch"):
        renderer = Renderer(target / "source", target)
        try:
            say("rendering what has run; the first time every page")
            attempt(partial(show, renderer, profile, seeds, say), say)
            _refuse_taken(port)
            threading.Thread(target=_serve, args=(target, port), daemon=True).start()
            say(f"http://127.0.0.1:{port}/ (Ctrl-C stops)")
            for found in changes(*_watched(), watch_filter=is_source, raise_interrupt=False):
                changed = {Path(path) for _, path in found}
                say(f"changed: {', '.join(sorted(path.name for path in changed))}")
                attempt(partial(react, changed, renderer, profile, seeds, jobs, say), say)
        finally:
            renderer.close()


def react(changed: Iterable[Path], renderer: Any, profile: str, seeds: Sequence[int], jobs: int, say: Say) -> None:
    """Run what the changed files touch, and show it. Raises what running, staging and rendering raise."""
    look_again()
    changed = set(changed)
    if any(path.is_relative_to(root) for path in changed for root in (PACKAGE, params_folder())):
        _run(profile, seeds, jobs, say)
    else:
        chapters = [chapter for chapter in read_book().chapters if chapter.path in changed]
        if not all(_woven(chapter, profile, seeds, say) for chapter in chapters):
            _run(profile, seeds, jobs, say)  # which weaves the others
    show(renderer, profile, seeds, say)


def show(renderer: Any, profile: str, seeds: Sequence[int], say: Say) -> None:
    """Stage the profile's pages, render those that changed, and tell the browser."""
    started = time.monotonic()
    outdated = stage(renderer.source, profile, seeds)
    staged = time.monotonic()
    pages = renderer.render()
    with atomic(renderer.target / RENDERED) as temporary:
        temporary.write_text(f"{time.time()}\n")
    rendered = time.monotonic()
    say(f"staged in {staged - started:.1f} s, rendered in {rendered - staged:.1f} s: {_few(pages) or 'nothing new'}")
    if outdated:
        say(
            f"out of date: {_few(outdated)}; the next change of code, or `jepascope run --profile {profile}`, runs them"
        )


def attempt(action: Callable[[], None], say: Say) -> None:
    """Do it, or say why not: somebody who is writing makes faults, and goes on."""
    try:
        action()
    except FAULTS as error:
        say(f"{error}\nthe pages are those of before")


def is_source(_change: Any, path: str) -> bool:
    """Tell the files a person edits from what editors, Python and our own writers leave beside them."""
    file = Path(path)
    return file.suffix in SUFFIXES and not file.name.startswith((".", "#")) and "__pycache__" not in file.parts


def _watched() -> Iterator[Path]:
    root = project_root()
    yield from (book_folder(), params_folder(), PACKAGE, root / "_config.yml", root / "_toc.yml")


def _woven(chapter: ChapterSource, profile: str, seeds: Sequence[int], say: Say) -> bool:
    """Give the chapter's new prose to all its pages, if prose is all that is new."""
    started = time.monotonic()
    ones = seeds if chapter.per_seed else [None]
    if not all(is_computed(chapter, load_profile(profile, {"seeds": list(seeds)}, seed), seed) for seed in ones):
        return False
    for seed in ones:
        run_chapter(chapter.name, profile, seed, None if chapter.per_seed else seeds, if_needed=True)
    say(f"{chapter.name}: {time.monotonic() - started:.1f} s for {len(ones)} pages' new prose")
    return True


def _run(profile: str, seeds: Sequence[int], jobs: int, say: Say) -> None:
    """Run what is missing or out of date, and say what ran and how long each took, also when one stopped."""
    started, before = time.monotonic(), _times(profile)
    say("running what follows from the change")
    try:
        run_all(profile, seeds, jobs, "default")
    finally:
        for file in sorted(file for file, time in _times(profile).items() if before.get(file) != time):
            seconds = read_json(file)["provenance"]["seconds"]
            say(f"{file.parent.name} seed {file.parent.parent.name}: {seconds} s in its cells")
        say(f"run: {time.monotonic() - started:.1f} s")


def _times(profile: str) -> dict[Path, int]:
    files = (project_root() / "runs" / profile).glob(f"*/*/{RESULTS}")
    return {file: file.stat().st_mtime_ns for file in files}


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _refuse_taken(port: int) -> None:
    """Raise OSError here, not in the server's thread, where another program has the port."""
    with socket.create_server(("127.0.0.1", port)):
        pass


def _serve(target: Path, port: int) -> None:
    """Serve the pages on this machine alone; a script that livereload adds on the way out reloads what is open."""
    from livereload import Server

    for name in ("livereload", "tornado.access"):  # a line for each request would hide what was done
        logging.getLogger(name).disabled = True
    server = Server()
    server.watch(str(target / RENDERED))
    server.serve(port=port, host="127.0.0.1", root=str(target / "html"))
