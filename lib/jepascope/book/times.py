"""What a run costs: each chapter's seconds as they were measured, and what another number of seeds would take.

A page that ran again after an edit found its expensive steps done, and its own clock tells little. A chapter's cost is
therefore that of its last execution, kernel and imports included, and of the steps that it found.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

import pandas as pd

from jepascope.book.needs import comparisons
from jepascope.book.notebooks import read_book
from jepascope.book.standing import EXECUTED, RESULTS
from jepascope.params import project_root
from jepascope.steps import SIDECAR
from jepascope.store import read_json

COLUMNS = ("chapter", "seed", "per_seed", "collects_seeds", "page", "steps_found", "seconds")


def chapter_times(profile: str) -> pd.DataFrame:
    """Tabulate what every finished run of a chapter cost, one row a chapter and seed ("all" where it runs once).

    Columns: chapter, seed (str), per_seed, collects_seeds (bool: a chapter that runs once over all seeds), page
    (seconds of wall clock that its last execution took), steps_found (seconds that the steps took which it found done),
    seconds (their sum: what it costs from nothing). Raises StoreError when a result is damaged.
    """
    rows = []
    for chapter in read_book().chapters:
        for results in sorted((project_root() / "runs" / profile).glob(f"*/{chapter.name}/{RESULTS}")):
            page, found = _page_seconds(results), _found_seconds(results.parent)
            collects = "seeds" in chapter.depends_on
            seed = results.parent.parent.name
            rows.append((chapter.name, seed, chapter.per_seed, collects, page, found, page + found))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cost_of_seeds(times: pd.DataFrame, seeds: int, pairs: Collection[str] = ()) -> pd.DataFrame:
    """What `seeds` seeds cost by these times: one row a chapter with columns chapter, runs, each, seconds.

    A chapter that runs per seed costs its mean over the seeds that have run, times `seeds`. One that runs once counts
    once: as it was measured, or longer where it collects the seeds, by as many as there are more of them, and by as
    many more comparisons (`needs.comparisons`) where the chapter is one of `pairs`.
    """
    had = max(1, times.loc[times["per_seed"], "seed"].nunique())
    more_pairs = comparisons(seeds) / comparisons(had)
    each = times.groupby("chapter", sort=False).agg(
        each=("seconds", "mean"), per_seed=("per_seed", "first"), collects=("collects_seeds", "first")
    )
    grows = [max(1.0, more_pairs if name in pairs else seeds / had) for name in each.index]
    runs = each["per_seed"].map({True: seeds, False: 1})
    longer = each["each"] * pd.Series(grows, index=each.index).where(each["collects"], 1.0)
    return pd.DataFrame({"chapter": each.index, "runs": runs, "each": longer, "seconds": runs * longer})


def _page_seconds(results: Path) -> float:
    """Wall clock of the last execution; of the cells alone where papermill left no note (a run by hand in Jupyter)."""
    seconds = float(read_json(results)["provenance"]["seconds"])
    return max(seconds, float(_papermill(results).get("duration") or 0))


def _found_seconds(folder: Path) -> float:
    """Seconds of the steps that were there before the last execution began."""
    began = _papermill(folder / RESULTS).get("start_time")
    if began is None:
        return 0.0
    start = datetime.fromisoformat(began).timestamp()
    steps = [sidecar for sidecar in folder.glob(f"[!.]*/{SIDECAR}") if sidecar.stat().st_mtime < start]
    return sum(float(read_json(sidecar)["seconds"]) for sidecar in steps)


def _papermill(results: Path) -> dict[str, str]:
    executed = results.with_name(EXECUTED)
    return read_json(executed)["metadata"].get("papermill", {}) if executed.exists() else {}
