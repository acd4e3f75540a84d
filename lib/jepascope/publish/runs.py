"""The runs behind rendered pages, as each page's provenance names them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from jepascope.params import project_root
from jepascope.store import StoreError, read_json

# Rows of a page's provenance.
OF_RUN = re.compile(r"<th>profile, seed</th><td>(\w+), (all seeds|\d+)</td>")
OF_COMMIT = re.compile(r"<th>commit</th><td>([^<]*)</td>")
OF_KEY = re.compile(r"<th>key</th><td>([0-9a-f]{12})</td>")


class Run(NamedTuple):
    """The run that a page shows."""

    page: str
    profile: str
    seed: str  # "all", or the seed
    commit: str
    key: str  # the first twelve characters

    @property
    def chapter(self) -> str:
        """The chapter's name: another seed's page has the seed behind it."""
        return re.sub(r"_seed\d+$", "", self.page)

    @property
    def folder(self) -> Path:
        """Where the run's results lie, if they still do."""
        return project_root() / "runs" / self.profile / self.seed / self.chapter


def runs_of(folder: Path) -> list[Run]:
    """The run behind each page that has a provenance, in order of the pages' names."""
    found = []
    for path in sorted(folder.glob("*.html")):
        text = path.read_text()
        run, commit, key = (row.search(text) for row in (OF_RUN, OF_COMMIT, OF_KEY))
        if run and commit and key:
            seed = "all" if run[2] == "all seeds" else run[2]
            found.append(Run(path.stem, run[1], seed, commit[1], key[1]))
    return found


def results_of(run: Run) -> dict[str, Any]:
    """The results.json of a run. Raises StoreError when it is gone, or another run than the page shows lies there."""
    path = run.folder / "results.json"
    results: dict[str, Any] = read_json(path)
    if not results["key"].startswith(run.key):
        mend = f"`jepascope build --profile {run.profile}`, then check the pages again"
        raise StoreError(f"{run.page}.html shows another run than {path}: {mend}")
    return results
