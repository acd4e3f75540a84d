"""The real identifiers as a salted Bloom filter: to ask "is this number one of ours" without keeping the numbers.

A range says what an identifier looks like; only the identifiers say what is one, and catch a table whose ids were
shuffled, re-indexed by another id, or printed without a title. The filter is built where the records are, for one
check, and is written nowhere (Bloom 1970, doi:10.1145/362686.362692): k = -log2(p) hashes and k / ln 2 bits for each
identifier.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jepascope.params import project_root
from jepascope.store import StoreError, read_table

# A book holds some 10^5 numbers; one of them in 10^4 books may be refused for nothing.
FALSE_ALARM = 1e-9
HASHES = math.ceil(-math.log2(FALSE_ALARM))
SHORTEST = 5  # digits; shorter identifiers can't be told from counts
FEW = 100  # the formulas hold on average: with fewer identifiers a filter could be full by chance
COLUMNS = ("subject_id", "hadm_id", "stay_id")


class IdFilter(NamedTuple):
    """Which numbers are identifiers, up to FALSE_ALARM."""

    salt: bytes
    marked: np.ndarray  # bool [bits]
    digits: tuple[int, int]  # of the shortest and of the longest identifier

    def holds(self, number: int) -> bool:
        """Tell whether a number is one of the identifiers; sometimes (FALSE_ALARM) yes for one that isn't."""
        return bool(self.marked[_places(self.salt, number, len(self.marked))].all())


def build_filter(identifiers: Iterable[int], salt: bytes | None = None) -> IdFilter:
    """Build the filter of some identifiers. Raises ValueError when one is too short to be told from a count."""
    unique = {int(identifier) for identifier in identifiers}
    lengths = [len(str(abs(identifier))) for identifier in unique] or [SHORTEST]
    if min(lengths) < SHORTEST:
        raise ValueError(
            f"an identifier has {min(lengths)} digits: fewer than {SHORTEST} can't be told from a count, so no page "
            f"can be checked for it; renumber the records before they are read"
        )
    salt = secrets.token_bytes(16) if salt is None else salt
    marked = np.zeros(math.ceil(max(len(unique), FEW) * HASHES / math.log(2)), bool)
    for identifier in unique:
        marked[_places(salt, identifier, len(marked))] = True
    return IdFilter(salt, marked, (min(lengths), max(lengths)))


def filter_of(encounters: Path) -> IdFilter:
    """Build the filter of an extraction's identifiers. Raises StoreError where there is no extraction."""
    index = read_table(encounters / "index.parquet")
    return build_filter(number for name in COLUMNS if name in index for number in index[name].dropna().unique())


def filter_of_profile(profile: str) -> IdFilter | None:
    """Build the filter of the records that a profile has extracted here; None when it has extracted none."""
    try:
        return filter_of(project_root() / "runs" / profile / "all" / "01_extraction" / "encounters")
    except StoreError:
        return None


def _places(salt: bytes, number: int, bits: int) -> np.ndarray:
    """The bits of a number, int64 [HASHES], each drawn by itself.

    Two hashes and their sums (double hashing) are too few for a small cohort: strangers then share all their bits with
    an identifier far more often than FALSE_ALARM.
    """
    drawn = hashlib.shake_128(salt + str(number).encode()).digest(8 * HASHES)
    return (np.frombuffer(drawn, np.uint64) % np.uint64(bits)).astype(np.int64)
