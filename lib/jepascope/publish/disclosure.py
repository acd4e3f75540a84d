"""What a chapter may show: everything of open records; of credentialed ones, what the gate's rules leave.

A chapter shows its tables and figures as ever; this stands between it and the page, and keeps the sidecar of each: how
many patients stand behind it, of which population, made by which code. A page that shows what has
no sidecar is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from jepascope.params import ParameterError, Profile
from jepascope.publish.counts import FEWEST, rounded, untold
from jepascope.publish.markup import Table, read_page
from jepascope.publish.safe_figure import marks, safe_figure
from jepascope.publish.safe_table import safe_page
from jepascope.publish.tiers import STAMP

COUNTED = re.compile(r"patients|encounters|walkers|people|admissions|positives|events|rows|carriers|readmi")
KNOB = re.compile(r"^(?:min|most|max)_")  # a parameter, not a count


class Disclosure:
    """Judges what a chapter shows, and remembers it. Of open records everything passes as it is."""

    def __init__(self, tier: Callable[[], str | None], code: str, population: str, floor: int) -> None:
        """tier: asked at each display; population: in words; floor: patients under which nothing is computed."""
        self.tier, self.code, self.population, self.floor = tier, code, population, floor
        self.patients: int | None = None  # in the cohort, where the chapter has opened it
        self.sidecars: list[dict[str, Any]] = []

    @property
    def strict(self) -> bool:
        """Whether what is shown comes from credentialed records."""
        return self.tier() == "credentialed"

    def html(self, block: str) -> str:
        """A block of HTML with its tables in their safe form; the provenance counts nobody and stays as it is."""
        if not self.strict:
            return block
        if STAMP.search(block):
            for table in read_page(block).tables:
                self._note("provenance", digest_of(table), patients=None, caption="provenance")
            return block
        safe, tables = safe_page(untold(block))
        for shown, (table, judged) in zip(read_page(safe).tables, tables, strict=True):
            counts = {"patients": judged.patients, "changed": judged.changed}
            self._note("table", digest_of(shown), caption=table.caption, **counts)
        return safe

    def words(self, reason: str) -> str:
        """A sentence, such as why something isn't here, without the small count it may tell."""
        return untold(reason) if self.strict else reason

    def figure(self, figure: Figure) -> str | None:
        """Make a figure fit to be shown, or say why it can't be."""
        return safe_figure(figure, self.patients) if self.strict else None

    def drawn(self, figure: Figure, png: bytes, caption: str) -> None:
        """Remember a figure that is shown."""
        if self.strict:
            self._note("figure", hashlib.sha256(png).hexdigest(), caption=caption, marks=marks(figure), patients=None)

    def value(self, name: str, value: Any) -> Any:
        """A number for the prose: counts of people and encounters rounded, those under 11 written as 10."""
        if not self.strict:
            return value
        if isinstance(value, tuple):  # an estimate, or a null; what isn't here is no tuple
            return _rounded(value)
        whole_number = isinstance(value, int) and not isinstance(value, bool)
        if whole_number and COUNTED.search(name) and not KNOB.search(name):
            return 10 if value < FEWEST else rounded(value)
        return value

    def claim(self, claim: Any) -> Any:
        """A claim whose box tells rounded counts."""
        if not self.strict:
            return claim
        parts = {name: self.value(name, getattr(claim, name)) for name in ("estimate", "null", "untrained")}
        return claim._replace(**parts)

    def _note(self, kind: str, digest: str, **facts: Any) -> None:
        about = {"population": self.population, "code": self.code[:12], "floor": self.floor}
        self.sidecars.append({"kind": kind, "digest": digest, **facts, **about})


def _rounded(estimate: Any) -> Any:
    counts = [name for name in ("n_rows", "n_patients") if name in estimate._fields]
    return estimate._replace(**{name: rounded(getattr(estimate, name)) for name in counts})


def check_floors(profile: Profile) -> None:
    """Refuse to open credentialed records under parameters that let fewer than 11 patients through.

    Raises ParameterError naming each parameter.
    """
    floors = {
        "statistics.min_patients": profile.statistics.min_patients,
        "statistics.min_carriers": profile.statistics.min_carriers,
        "extraction.min_patients_per_token": profile.extraction.min_patients_per_token,
        "map.min_cluster_patients": profile.map.min_cluster_patients,
    }
    low = [f"{name} = {value}" for name, value in floors.items() if value < FEWEST]
    if low:
        raise ParameterError(
            f"{', '.join(low)}: of credentialed records nothing is told of fewer than {FEWEST} patients"
        )


def digest_of(table: Table) -> str:
    """Hash what a table says, cell by cell, whatever the page puts around the words."""
    words = [[cell.text for cell in row] for row in table.rows]
    return hashlib.sha256(json.dumps(words, ensure_ascii=False).encode()).hexdigest()
