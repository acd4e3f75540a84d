"""What a cell of a table counts, by its column's title: one reading for who makes a page and for who checks it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

FEWEST = 11  # distinct patients behind anything shown
STEP = 5  # counts are rounded to it
# Encounters without a count of patients beside them: fewer than this could be of ten patients who came often.
FEWEST_EVENTS_ALONE = 100
MOST_MARKS = 200  # of a drawing; more can be one for each encounter
FEW, FEW_SHARE, NEARLY_ALL, WITHHELD = "≤ 10", "few", "nearly all", "withheld"

Kind = Literal["people", "events", "other", "unknown"]
PEOPLE = re.compile(r"\bpatients?\b|\bsubjects?\b|\bpeople\b|\bpersons?\b|\bwalkers\b")
EVENTS = re.compile(
    r"\bencounters?\b|\badmissions?\b|\brows\b|\bstays\b|\bevents?\b|\bpositives?\b|\bwith it\b|\bwith the event\b|"
    r"\bwith a predecessor\b|^naive$|^ours$|\bcarriers\b|\bdeaths?\b|\breadmitted\b|^n$|^count$|^published$"
)
# Titles of integers that count no person: parts of a model, of the vocabulary, of the analysis.
OTHER = re.compile(
    r"^k$|^h$|^of$|^p$|^q$|^r$|\bfeatures?\b|\bwords?\b|\bclusters?\b|\bax[ei]s\b|\bseeds?\b|\bvotes?\b|\bfits\b|"
    r"\bliving\b|\bkept\b|\bdead\b|\bdense\b|\breferences\b|\bcohorts\b|\btimes\b|\brepeated\b|\btokens?\b|\bconcepts?\b|"
    r"\bwidth\b|\blayers?\b|\bepochs?\b|\byear\b|\brank\b|\bmissed\b|\bhallucinated\b|\brefused\b|\bcome back\b|"
    r"\bby sign-flips\b|\bby marchenko|\bbeyond\b|\bdraws?\b|\bhorizon\b|\bdimensions?\b|"
    r"\beffect\b|\bthreshold\b|\bpower\b|\bversion\b|\bsteps?\b|\bpercentile\b|\bquantile\b|\bhypotheses\b|\bdirections?\b|"
    r"\bchecks?\b|\balarms?\b|\bfound\b|\bcaught\b|\bgroups?\b|\btargets?\b|\bstatements?\b|\bclaims?\b"
)
# They name patients and count something else.
NOT_OF_PEOPLE = re.compile(r"^in ≥|^by (?:rows|patients)$")
# A column of identifiers, and a full date of MIMIC-IV's shifted years: each is a row of somebody's record.
ID_KEY = re.compile(r"(?:subject|hadm|stay)_?ids?", re.IGNORECASE)
SHIFTED = re.compile(r"(?<!\d)2(?:1\d\d|200)-(?:0\d|1[0-2])-(?:[0-2]\d|3[01])(?!\d)")
MEASURES = ("", "measure", "quantity", "what")
EXTREME = re.compile(r"^(?:min|max|minimum|maximum|youngest|oldest|shortest|longest|earliest|latest)(?:\b|_)")
NUMBER = re.compile(r"[-−]?(?:\d{1,3}(?:,\d{3})+|\d+)")
# Why something isn't computed: "4 patients, 11 needed" tells the 4.
SHORT_OF = re.compile(r"(\d[\d,]*)(?=[^.;\d]{0,60}, (\d+) needed)")
DECIMAL = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)?\.\d+(?:e[-+]?\d+)?")
PERCENT = re.compile(r"([-−]?\d+(?:\.\d+)?)\s?%")


def whole(text: str) -> int | None:
    """The integer that a cell is, thousands told apart or not; None for any other cell."""
    return int(text.replace(",", "").replace("−", "-")) if NUMBER.fullmatch(text) else None


def kind_of(title: str, cells: Sequence[str]) -> Kind:
    """Say what a column counts. An integer column whose title says nothing is 'unknown', and can't be judged."""
    title = title.replace("_", " ").lower().strip()
    if NOT_OF_PEOPLE.search(title):
        return "other"
    if PEOPLE.search(title):
        return "people"
    if EVENTS.search(title):
        return "events"
    if OTHER.search(title):
        return "other"
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    decimals = any(DECIMAL.match(cell) for cell in cells)
    return "unknown" if numbers and not decimals else "other"


def kind_of_row(title: str, label: str) -> Kind:
    """What the numbers of a row count, in a table whose rows are measures: its first column says so."""
    if title.lower() not in MEASURES:
        return "other"
    label = label.replace("_", " ").lower().strip()
    return "people" if PEOPLE.fullmatch(label) else "events" if EVENTS.fullmatch(label) else "other"


def rounded(count: int) -> int:
    """A count to the nearest 5; 11 and 12 are written 15, as a 10 would look like too few."""
    nearest = STEP * math.floor(count / STEP + 0.5)
    return max(nearest, 15) if count >= FEWEST else nearest


def written(count: int) -> str:
    """A count as a page may show it."""
    return FEW if count < FEWEST else f"{rounded(count):,}"


def untold(reason: str) -> str:
    """Why something isn't computed, without telling how many there are: only that they are fewer than are needed."""
    return SHORT_OF.sub(r"fewer than \2", reason)
