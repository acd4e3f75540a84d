"""What a chapter holds in its hand: its parameters, its folder, and one way to put a number on the page.

    chapter = open_chapter("05_z_characterisation", globals())

A number is said once: `chapter.record(name, value)` puts it on the page, into `results.json` and, with a claim, into
the ledger. A chapter writes only its own folder, `runs/<profile>/<seed|all>/<chapter>/`, and reads only the chapters
that its header names.
"""

from __future__ import annotations

import base64
import io
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure
from myst_nb import glue

from jepascope.analysis.inference.stats import NotComputable
from jepascope.book import pages
from jepascope.book.claims import Claim, NotHere, interval, plain
from jepascope.book.notebooks import ChapterError, ChapterSource, read_book
from jepascope.book.standing import (
    DONE,
    EXECUTED,
    RESULTS,
    chapter_key,
    resolved_parameters,
    result_content,
    run_folder,
    text_hash,
)
from jepascope.book.weaving import check_prose
from jepascope.closure import code_fingerprint
from jepascope.ledger import LEDGER, open_test, times_opened
from jepascope.params import ParameterError, Profile, load_profile, project_root
from jepascope.publish.disclosure import Disclosure, check_floors
from jepascope.publish.guard import forbid_records
from jepascope.steps import SIDECAR, commit, content, damaged, run_step
from jepascope.store import StoreError, atomic, read_json, read_table, write_json


def open_chapter(name: str, namespace: Mapping[str, Any]) -> Chapter:
    """Check the parameters that papermill (or a reader in Jupyter) left in the namespace, and open the chapter.

    `namespace` is the notebook's `globals()` right after its parameters cell: at that point its plain values are
    exactly the parameters. Raises ParameterError when one is unknown, mistyped or out of range.
    """
    plain_types = bool | int | float | str | list | dict | None
    given = {
        key: value
        for key, value in namespace.items()
        if not key.startswith("_") and key not in ("In", "Out") and isinstance(value, plain_types)
    }
    source = read_book().find(name)
    seed: Any = given.pop("seed", None)
    if source.per_seed != (type(seed) is int and seed >= 0):
        raise ParameterError(f"{name}: seed must be a whole number >= 0 where the chapter declares it, got {seed!r}")
    injected = {key: value for key, value in given.items() if not (key in source.depends_on and value is None)}
    chapter = Chapter(source, load_profile(str(given.get("profile")), injected, seed), seed)
    forbid_records(lambda: chapter.shown.strict)
    return chapter


class Chapter:
    """An open chapter. Every method that shows something takes estimates and figures; none computes."""

    def __init__(self, source: ChapterSource, params: Profile, seed: int | None) -> None:
        self.name, self.source, self.params, self.seed = source.name, source, params, seed
        self.folder = run_folder(params.profile, source.name, seed)
        self.seeds = params.seeds
        self._started = time.monotonic()
        self._values: dict[str, Any] = {}
        self._claims: list[dict[str, Any]] = []
        self._figures: list[dict[str, str]] = []
        self._read: dict[str, str] = {}
        self._tiers: set[str] = set()
        self._code = code_fingerprint(source.code)  # as it is now; an edit from here on is for the next run
        self.shown = Disclosure(self._tier, self._code, f"profile {params.profile}", params.statistics.min_patients)
        for mark in (RESULTS, EXECUTED, DONE):  # until it ends, this chapter is not done
            (self.folder / mark).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "figures", ignore_errors=True)

    def step(self, name: str, function: Callable[..., str | None], *arguments: Any) -> Path:
        """Run an expensive step into this chapter's folder, or find it there still current. Returns its folder."""
        folder = run_step(self.folder / name, function, *arguments)
        self._note(folder)
        return folder

    def read(self, chapter: str, name: str = RESULTS, seed: int | None = None) -> Path:
        """Find what another chapter left: a step's folder, or its results.json. `seed` None: this chapter's own.

        Raises ChapterError when the header doesn't name that chapter, StoreError when it has not finished, left no
        such thing, or what it left is damaged.
        """
        if chapter not in self.source.reads:
            raise ChapterError(f"{self.name} reads {chapter}: name it under `jepascope: reads:` in {self.source.path}")
        other = read_book().find(chapter)
        chosen = (self.seed if seed is None else seed) if other.per_seed else None
        path = run_folder(self.params.profile, other.name, chosen) / name
        finished = path.parent / RESULTS
        made = {RESULTS, *(Path(file).name for file in read_json(finished)["read"])} if finished.exists() else set()
        command = f"jepascope run {other.name.partition('_')[0]} --profile {self.params.profile}"
        command += "" if chosen is None else f" --seed {chosen}"
        if name not in made or not path.exists():
            raise StoreError(f"{path} is missing: `{command}` makes it")
        if name != RESULTS and (broken := damaged(path)):
            raise StoreError(
                f"{path}: {', '.join(broken)} missing or damaged since the step ended: `{command}` makes it again"
            )
        self._note(path)
        return path

    def read_all(self) -> list[Path]:
        """Find the results.json of every chapter that the header names, of all seeds: what a summary collects."""
        book = read_book()
        return [
            self.read(name, seed=seed)
            for name in self.source.reads
            for seed in (self.seeds if book.find(name).per_seed else [None])
        ]

    def open_test(self, encounters: Path) -> None:
        """Enter in the test-set ledger, before it happens, that this chapter looks at an extraction's test patients.

        To be called after the chapter's reads: what was read is a part of what is being evaluated.
        """
        index = read_table(encounters / "index.parquet")
        self.shown.patients = index["subject_id"].nunique()
        test = index[index["split"] == "test"]
        parameters = resolved_parameters(self.source, self.params)
        how = {"parameters": parameters, "code": self._code, "read": dict(self._read)}
        open_test(self._test_ledger, self.name, self.seed, how, len(test), test["subject_id"].nunique())

    def times_opened(self) -> pd.DataFrame:
        """How often each chapter has looked at this profile's test patients so far, over all seeds."""
        opened = times_opened(self._test_ledger)
        unreadable = pd.DataFrame({"evaluation": ["(unreadable)"], "times": [len(opened.attrs["unreadable"])]})
        summed = opened.groupby("evaluation", as_index=False)[["times", "repeated"]].sum()
        return pd.concat([summed, unreadable[unreadable["times"] > 0]]).fillna({"repeated": 0})

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of this chapter's own for one purpose: adding a cell doesn't move another cell's draws."""
        return np.random.default_rng(list(f"{self.name}/{self.seed}/{purpose}".encode()))

    def compute(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call an analysis that the data may not support; a reason then takes the place of its result."""
        if missing := _missing(*arguments, *named.values()):
            return missing
        try:
            return function(*arguments, **named)
        except NotComputable as reason:
            return NotHere(self.shown.words(str(reason)))

    def record(self, name: str, value: Any, form: str | None = None) -> None:
        """Say a number once: on the page, and in results.json.

        In the prose, `name` is the number and, for an estimate, `name_interval` the number with its interval. `form`
        (".1f") fixes here how the page writes a number that may not be here, and then has no format there.
        """
        if name in self._values:
            raise ChapterError(f"{self.name}: {name!r} is recorded twice; a number is said once")
        value = self.shown.value(name, value)
        if isinstance(value, float) and not math.isfinite(value):
            value = NotHere("too little data")
        self._values[name] = plain(value)
        if hasattr(value, "n_patients") or isinstance(value, NotHere):
            glue(f"{name}_interval", pages.Text(interval(value)), display=False)
        number = plain(value.value if hasattr(value, "n_patients") else value)
        if form is not None and not isinstance(number, str):
            number = format(number, form)
        glue(name, pages.Text(number) if isinstance(number, str) else number, display=False)

    def claim(self, claim: Claim, seed: int | None = None) -> None:
        """Record a claim's estimate under the claim's id, and enter the claim in the ledger.

        A chapter that runs once for all seeds names the `seed` that the claim is about. In the prose, `{glue:md}` with
        the id shows the claim's box (the first seed's), and `id_verdict` is the verdict alone.
        """
        about, claim = self.seed if seed is None else seed, self.shown.claim(claim)
        key = claim.id if about in (self.seed, self.seeds[0]) else f"{claim.id}_seed{about}"
        self.record(f"{key}_estimate", claim.estimate)
        self._claims.append(claim.entry(about))
        glue(key, Markdown(pages.claim_box(claim)), display=False)
        glue(f"{key}_verdict", pages.Text(claim.verdict()), display=False)

    def figure(self, name: str, draw: Callable[..., Figure], *arguments: Any, caption: str, alt: str) -> None:
        """Draw, save as `figures/<name>.png` and show with caption and alt text.

        `draw` is a function of the library that returns a matplotlib figure. When an argument is not here, the page
        says why in the figure's place.
        """
        if missing := _missing(*arguments):
            display(Markdown(f"*Figure {name.replace('_', ' ')}: {missing}.*"))
            return
        figure = draw(*arguments)
        if reason := self.shown.figure(figure):
            display(Markdown(f"*Figure {name.replace('_', ' ')}: {reason}.*"))
            return
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=144, bbox_inches="tight", metadata={"Software": None})
        with atomic(self.folder / "figures" / f"{name}.png") as temporary:
            temporary.write_bytes(buffer.getvalue())
        self._figures.append({"name": name, "caption": caption, "alt": alt})
        self.shown.drawn(figure, buffer.getvalue(), caption)
        image = base64.b64encode(buffer.getvalue()).decode()
        display(HTML(pages.figure_block(name, image, caption, alt)))

    def table(self, table: pd.DataFrame | NotHere, caption: str) -> None:
        """Show a table, or say why there is none."""
        if isinstance(table, NotHere):
            display(Markdown(f"*{caption} {table}.*"))
        else:
            self.html(pages.table_block(table, caption))

    def html(self, block: str) -> None:
        """Show a block of HTML that the library made; of credentialed records, its tables in their safe form."""
        display(HTML(self.shown.html(block)))

    def close(self) -> None:
        """Write results.json, the mark of a finished chapter, and show where its numbers come from.

        Raises ChapterError when the prose uses a number that no code recorded, StoreError when data tiers are mixed.
        """
        check_prose(self.source, self._values, self._claims)
        if len(self._tiers) != 1:
            raise StoreError(f"{self.name}: results of one data tier expected, found {sorted(self._tiers) or 'none'}")
        result = {
            "chapter": self.name,
            "profile": self.params.profile,
            "seed": self.seed,
            "tier": next(iter(self._tiers)),
            "values": self._values,
            "claims": self._claims,
            "figures": self._figures,
            "key": chapter_key(self.source, self.params, self._read),
            "text": text_hash(self.source),
            "read": self._read,
            "provenance": self._provenance(),
        }
        provenance = self.shown.html(pages.provenance_block(result))
        write_json(self.folder / RESULTS, {**result, "disclosure": self.shown.sidecars})
        display(HTML(provenance))

    @property
    def _test_ledger(self) -> Path:
        return project_root() / "runs" / self.params.profile / LEDGER

    def _tier(self) -> str | None:
        """The tier of what has been read so far; before that, the strict one wherever records may be somebody's."""
        if not self._tiers:
            return None if self.params.source.kind == "synthetic" else "credentialed"
        return "credentialed" if "credentialed" in self._tiers else next(iter(self._tiers))

    def _note(self, path: Path) -> None:
        relative = str(path.relative_to(project_root()))
        self._read[relative] = result_content(path) if path.name == RESULTS else content(path)
        self._tiers.add(read_json(path if path.name == RESULTS else path / SIDECAR)["tier"])
        if "credentialed" in self._tiers:
            check_floors(self.params)

    def _provenance(self) -> dict[str, Any]:
        return {
            "commit": commit(),
            "parameters": _without_paths(resolved_parameters(self.source, self.params)),
            "code": self._code,
            "seconds": round(time.monotonic() - self._started, 1),
            "software": pages.software(),
        }


def _missing(*arguments: Any) -> NotHere | None:
    """The first argument, or value in an argument's dictionary, that isn't here."""
    values = [v for a in arguments for v in (a.values() if isinstance(a, dict) else [a])]
    return next((value for value in values if isinstance(value, NotHere)), None)


def _without_paths(parameters: dict[str, Any]) -> dict[str, Any]:
    """Shorten the one parameter that is a path of this machine, as pages are for other eyes."""
    source = parameters.get("source")
    if not source or source["root"] is None:
        return parameters
    return {**parameters, "source": {**source, "root": f"…/{Path(source['root']).name}"}}
