"""The real identifiers as a salted Bloom filter: to ask "is this number one of ours" without keeping the numbers.

A range says what an identifier looks like; only the identifiers say what is one, and catch a table whose ids were
shuffled, re-indexed by another id, or printed without a title. The filter is built where the records are and stays
there (Bloom 1970, doi:10.1145/362686.362692): k = -log2(p) hashes and k / ln 2 bits for each identifier.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jepascope.store import read_table, read_tensors, write_tensors

# A book holds some 10^5 numbers; one of them in 10^4 books may be refused for nothing.
FALSE_ALARM = 1e-9
SHORTEST = 5  # digits; shorter identifiers can't be told from counts
COLUMNS = ("subject_id", "hadm_id", "stay_id")


class IdFilter(NamedTuple):
    """Which numbers are identifiers, up to FALSE_ALARM."""

    salt: bytes
    bits: np.ndarray  # uint8 [bits / 8]
    hashes: int
    digits: tuple[int, int]  # of the shortest and of the longest identifier

    def holds(self, number: int) -> bool:
        """Tell whether a number is one of the identifiers; sometimes (FALSE_ALARM) yes for one that isn't."""
        places = _places(self.salt, number, self.hashes, 8 * len(self.bits))
        return all(self.bits[place >> 3] >> (place & 7) & 1 for place in places)


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
    hashes = math.ceil(-math.log2(FALSE_ALARM))
    least = max(len(unique), 1) * hashes / math.log(2)
    bits = np.zeros(2 ** math.ceil(math.log2(least)) // 8, np.uint8)  # no odd step shares a factor with a power of two
    for identifier in unique:
        for place in _places(salt, identifier, hashes, 8 * len(bits)):
            bits[place >> 3] |= 1 << (place & 7)
    return IdFilter(salt, bits, hashes, (min(lengths), max(lengths)))


def filter_of(encounters: Path) -> IdFilter:
    """Build the filter of an extraction's identifiers. Raises StoreError where there is no extraction."""
    index = read_table(encounters / "index.parquet")
    return build_filter(number for name in COLUMNS if name in index for number in index[name].dropna().unique())


def save_filter(path: Path, ids: IdFilter) -> None:
    """Write the filter, salt included: it belongs beside the records, never into a book."""
    facts = np.array([ids.hashes, *ids.digits], np.int64)
    write_tensors(path, {"salt": np.frombuffer(ids.salt, np.uint8), "bits": ids.bits, "facts": facts})


def load_filter(path: Path) -> IdFilter:
    """Read what `save_filter` wrote. Raises StoreError when it is missing or damaged."""
    stored = read_tensors(path)
    hashes, shortest, longest = map(int, stored["facts"])
    return IdFilter(stored["salt"].tobytes(), stored["bits"], hashes, (shortest, longest))


def _places(salt: bytes, number: int, hashes: int, bits: int) -> list[int]:
    """The bits of a number, by double hashing (Kirsch & Mitzenmacher 2006)."""
    digest = hashlib.blake2b(str(number).encode(), key=salt, digest_size=16).digest()
    first, step = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") | 1
    return [(first + turn * step) % bits for turn in range(hashes)]
