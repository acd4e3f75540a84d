"""Writing with the page beside you: what is saved is run as far as it must be, rendered, and shown in the browser.

New prose is woven into the pages that have run. Code of a chapter or of the library, and parameters, run what follows
from them, by the same graph as the whole book. What fails is said in the terminal; the last good pages stay.
"""

from __future__ import annotations

import ast
import contextlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jepascope.book.notebooks import ChapterError, ChapterSource, book_folder, read_book
from jepascope.book.rendering import Renderer
from jepascope.book.run import only_one, run_all, run_chapter
from jepascope.book.serving import followed
from jepascope.book.staging import stage
from jepascope.book.standing import EXECUTED, RESULTS, is_computed, is_current, run_folder
from jepascope.closure import PACKAGE, look_again
from jepascope.params import Profile, load_profile, params_folder, project_root
from jepascope.store import read_json

SUFFIXES = {".md", ".bib", ".css", ".js", ".svg", ".png", ".py", ".sql", ".yaml", ".yml"}
# What a person can mend, or is in the middle of typing: the message says enough.
FAULTS = (ValueError, RuntimeError, OSError, SyntaxError)
PAUSE = 0.4  # seconds between two looks at the sources
STARTED = time.time()
Say = Callable[[str], None]
Times = dict[Path, int]


class Watched(NamedTuple):
    """What is watched, what renders it, and who is told."""

    profile: str
    chosen: Sequence[int] | None  # seeds; None: the profile's, whatever it says by now
    jobs: int
    renderer: Renderer
    say: Say

    @property
    def seeds(self) -> Sequence[int]:
        """Whose pages there are."""
        return self.chosen or load_profile(self.profile).seeds


def watch(profile: str, seeds: Sequence[int] | None, jobs: int, port: int, say: Say) -> None:
    """Show the profile's pages at `port` of this machine and keep them up to date until interrupted.

    `say` gets a line for all that is done, with its seconds. Raises ParameterError when there is no such profile,
    ValueError when the port can't be had, ChapterError when another watch is under way or there is no page to show.
    """
    load_profile(profile)  # a wrong name is said once, not after each save
    target = project_root() / "_build" / "watch"
    with only_one(target, "watch"), followed(target / "html", port) as server:
        renderer = Renderer(target / "source", target)
        watched = Watched(profile, seeds, jobs, renderer, say)
        seen = sources()  # before the first rendering: what is saved during it is not missed
        say("rendering what has run; the first time every page")
        shown = attempt(partial(show, watched), say)
        if not shown and not (target / "html" / "index.html").exists():
            raise ChapterError("there is no page to show yet: mend that, and watch again")
        server.rendered()
        say(f"http://127.0.0.1:{server.server_port}/ (Ctrl-C stops)")
        while True:
            now = after_a_save(seen)
            changed = {path for path, _ in seen.items() ^ now.items()}
            seen = now
            say(f"changed: {_few(sorted(path.name for path in changed))}")
            if attempt(partial(react, changed, watched), say):
                server.rendered()


def react(changed: Collection[Path], watched: Watched) -> None:
    """Run what the changed files touch, and show it. Raises what running, staging and rendering raise."""
    look_again()
    for file in changed:
        if file.suffix == ".py" and file.exists():
            ast.parse(file.read_text(), str(file))  # half-typed code is answered at once, and with its place
    if _moves_results(changed, watched):
        _run(watched)
    if _is_of_before():
        _start_again(watched.say)
    show(watched)


def show(watched: Watched) -> None:
    """Weave new prose into the profile's pages, stage them, and render those that changed."""
    _weave(watched)
    started = time.monotonic()
    outdated = stage(watched.renderer.source, watched.profile, watched.seeds)
    staged = time.monotonic()
    pages = watched.renderer.render()
    rendered = time.monotonic()
    watched.say(
        f"staged in {staged - started:.1f} s, rendered in {rendered - staged:.1f} s: {_few(pages) or 'no page is new'}"
    )
    if outdated:
        command = f"jepascope run --profile {watched.profile}"
        watched.say(f"out of date: {_few(outdated)}; the next change of code, or `{command}`, runs them")


def attempt(action: Callable[[], None], say: Say) -> bool:
    """Do it, or say why not: somebody who is writing makes faults, and goes on. True when it went through."""
    try:
        action()
    except Exception as error:  # noqa: BLE001  (a fault that nobody foresaw is no reason to stop, either)
        said = str(error) if isinstance(error, FAULTS) else traceback.format_exc()
        say(f"{said}\nthe pages are those of before")
        return False
    return True


def sources() -> Times:
    """When each file that a person edits was last written.

    Looked up again and again: a notice from the system is lost when an editor puts a new file in the old one's place,
    and never comes from a network's file system.
    """
    times = {}
    for file in filter(is_source, _watched_files()):
        with contextlib.suppress(FileNotFoundError):
            times[file] = file.stat().st_mtime_ns
    return times


def after_a_save(seen: Times) -> Times:
    """Wait until the sources are others than those `seen`, and whoever writes them is done: two looks find the same."""
    before, now = seen, sources()
    while now == seen or now != before:
        time.sleep(PAUSE)
        before, now = now, sources()
    return now


def is_source(file: Path) -> bool:
    """Tell the files a person edits from what editors, Python and our own writers leave beside them."""
    return file.suffix in SUFFIXES and not file.name.startswith((".", "#"))


def _watched_files() -> Iterator[Path]:
    for folder in (book_folder(), params_folder(), PACKAGE):
        yield from folder.rglob("*")
    yield from (project_root() / name for name in ("_config.yml", "_toc.yml"))


def _moves_results(changed: Collection[Path], watched: Watched) -> bool:
    """Tell whether more than prose is new: code or a parameter, or a chapter whose pages follow from other code."""
    if any(path.is_relative_to(root) for path in changed for root in (PACKAGE, params_folder())):
        return True
    chapters = [chapter for chapter in read_book().chapters if chapter.path in changed]
    return not all(_is_run(*page) for page in _pages(chapters, watched))


def _is_run(chapter: ChapterSource, params: Profile, seed: int | None) -> bool:
    """Tell whether a page is that of a run of its chapter, but for the prose; cells run by hand leave none."""
    page = run_folder(params.profile, chapter.name, seed) / EXECUTED
    return page.exists() and is_computed(chapter, params, seed)


def _weave(watched: Watched) -> None:
    """Give new prose to the pages of which it is all that is new, whenever it was written."""
    started, seeds = time.monotonic(), watched.seeds
    for chapter, params, seed in _pages(read_book().chapters, watched):
        if not is_current(chapter, params, seed) and _is_run(chapter, params, seed):
            run_chapter(chapter.name, watched.profile, seed, None if chapter.per_seed else seeds, if_needed=True)
            watched.say(f"{chapter.name}: new prose after {time.monotonic() - started:.1f} s")


def _pages(chapters: Iterable[ChapterSource], watched: Watched) -> Iterator[tuple[ChapterSource, Profile, int | None]]:
    """The pages of chapters, each with its parameters and seed."""
    seeds = watched.seeds
    profiles = {seed: load_profile(watched.profile, {"seeds": list(seeds)}, seed) for seed in (*seeds, None)}
    for chapter in chapters:
        for seed in seeds if chapter.per_seed else [None]:
            yield chapter, profiles[seed], seed


def _run(watched: Watched) -> None:
    """Run what is missing or out of date, and say what ran and how long each took, also when one stopped."""
    started, before = time.monotonic(), _results(watched.profile)
    watched.say("running what follows from the change")
    try:
        run_all(watched.profile, watched.seeds, watched.jobs, "default")
    finally:
        for file in sorted(file for file, time in _results(watched.profile).items() if before.get(file) != time):
            seconds = read_json(file)["provenance"]["seconds"]
            watched.say(f"{file.parent.name} seed {file.parent.parent.name}: {seconds} s in its cells")
        watched.say(f"run: {time.monotonic() - started:.1f} s")


def _results(profile: str) -> Times:
    files = (project_root() / "runs" / profile).glob(f"*/*/{RESULTS}")
    return {file: file.stat().st_mtime_ns for file in files}


def _is_of_before() -> bool:
    """Tell whether a module of the library that this process has imported was written since it started."""
    imported = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    ours = (Path(file) for file in imported if file and Path(file).is_relative_to(PACKAGE))
    return any(file.exists() and file.stat().st_mtime > STARTED for file in ours)


def _start_again(say: Say) -> None:
    """Go on as a new process, with the library as it is now. Raises ChapterError when it can't be imported."""
    say("that is code of the watch itself: it starts again")
    tried = subprocess.run([sys.executable, "-c", f"import {__name__}"], capture_output=True, text=True)
    if tried.returncode:
        raise ChapterError(f"it can't start again:\n{tried.stderr}")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _few(names: Sequence[str]) -> str:
    """The first names, and how many more."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
