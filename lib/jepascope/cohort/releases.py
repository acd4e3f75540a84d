"""The published row counts of MIMIC-IV: a partial download must not pass for a whole one, nor one release for another.

The release also says when the records end, on which every "no return within 30 days" stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Release(NamedTuple):
    """A published release: its name, the last real year it covers, and the rows of each table that we read."""

    name: str
    last_year: int
    rows: dict[str, int]


# Counts of 2.2 and 3.1: MIT-LCP/mimic-code, mimic-iv/buildmimic/{postgres,mysql}/validate.sql, at 5dc6117 (2.2) and at
# 865aee8 and ac17d7d (3.1); checked against ricu's table configuration (2.2) and a public build's output (3.1).
# Counts of 3.0, for which mimic-code never had a script: two public builds that agree, and, for patients, admissions
# and icustays, PhysioNet's page of that version (doi:10.13026/hxp0-hg59). Counts of the demo: validate_demo.sql there,
# and the demo itself (doi:10.13026/dp1f-ex47).
# Last years: 2.2 covers 2008 to 2019 (Johnson et al. 2023, doi:10.1038/s41597-022-01899-x); 3.0 and 3.1 go up to 2022,
# with an anchor_year_group 2020 - 2022 (their PhysioNet pages; mimic-code #1838). No month is published for either end.
# Newest first, so that between equals the newest is taken.
RELEASES = (
    Release(
        "3.1",
        2022,
        {
            "hosp/patients": 364_627,
            "hosp/admissions": 546_028,
            "hosp/diagnoses_icd": 6_364_488,
            "hosp/procedures_icd": 859_655,
            "hosp/prescriptions": 20_292_611,
            "hosp/labevents": 158_374_764,
            "hosp/services": 593_071,
            "hosp/transfers": 2_413_581,
            "hosp/drgcodes": 761_856,
            "hosp/omr": 7_753_027,
            "icu/icustays": 94_458,
        },
    ),
    Release(
        "3.0",
        2022,
        {
            "hosp/patients": 364_627,
            "hosp/admissions": 546_028,
            "hosp/diagnoses_icd": 6_364_520,
            "hosp/procedures_icd": 859_655,
            "hosp/prescriptions": 20_292_611,
            "hosp/labevents": 158_478_383,
            "hosp/services": 593_071,
            "hosp/transfers": 2_413_589,
            "hosp/drgcodes": 761_860,
            "hosp/omr": 7_753_027,
            "icu/icustays": 94_458,
        },
    ),
    Release(
        "2.2",
        2019,
        {
            "hosp/patients": 299_712,
            "hosp/admissions": 431_231,
            "hosp/diagnoses_icd": 4_756_326,
            "hosp/procedures_icd": 669_186,
            "hosp/prescriptions": 15_416_708,
            "hosp/labevents": 118_171_367,
            "hosp/services": 468_029,
            "hosp/transfers": 1_890_972,
            "hosp/drgcodes": 604_377,
            "hosp/omr": 6_439_169,
            "icu/icustays": 73_181,
        },
    ),
    Release(
        "demo-2.2",
        2019,
        {
            "hosp/patients": 100,
            "hosp/admissions": 275,
            "hosp/diagnoses_icd": 4_506,
            "hosp/procedures_icd": 722,
            "hosp/prescriptions": 18_087,
            "hosp/labevents": 107_727,
            "hosp/services": 319,
            "hosp/transfers": 1_190,
            "hosp/drgcodes": 454,
            "hosp/omr": 2_964,
            "icu/icustays": 140,
        },
    ),
)

# What makes a release that release: the other tables may be missing or half downloaded.
IDENTITY = ("hosp/patients", "hosp/admissions")


def named(name: str) -> Release:
    """Find a release by its name. Raises ValueError naming the known ones."""
    for release in RELEASES:
        if release.name == name:
            return release
    raise ValueError(f"no release {name!r} of MIMIC-IV is known; known: {', '.join(r.name for r in RELEASES)}")


def detect(rows: Mapping[str, int]) -> Release | None:
    """Recognise the release by its patients and admissions, so that it needn't be told, and can't be told wrongly.

    3.0 and 3.1 share both counts: the one with more other tables in agreement is taken, then the newer. None for
    anything else, such as a subset or another hospital's export.

    Args: rows: table ("hosp/patients") -> rows, of the tables that are there.
    """
    alike = [r for r in RELEASES if all(rows.get(table) == r.rows[table] for table in IDENTITY)]
    return max(alike, key=lambda r: sum(rows.get(table) == n for table, n in r.rows.items()), default=None)


def verify(rows: Mapping[str, int], release: Release) -> list[str]:
    """List every table whose rows are not the release's, with what was found, what was expected and the mend.

    A table that is not in `rows` is absent, which is another matter than being cut short. Empty when all is well.
    """
    return [
        f"{table} has {found:,} rows, MIMIC-IV {release.name} has {expected:,}: {_mend(table, found, release)}"
        for table, expected in release.rows.items()
        if (found := rows.get(table, expected)) != expected
    ]


class Ending(NamedTuple):
    """The last real year that the records cover (None: not known), and how it is known."""

    year: int | None
    reason: str


def data_end(rows: Mapping[str, int], anchor_year_groups: Iterable[str | None]) -> Ending:
    """Say when the records end: as published for a known release, else the end of the latest anchor_year_group.

    The fallback errs on the safe side, towards an earlier end, unless the records stop inside their last group.
    Without any group there is no end, and so no follow-up and no label.
    """
    release = detect(rows)
    if release is not None:
        return Ending(release.last_year, f"MIMIC-IV {release.name} covers admissions up to {release.last_year}")
    ends = [int(group[-4:]) for group in anchor_year_groups if group]
    if not ends:
        return Ending(None, "not known, so no label is given; set source.data_end_year where the dates are real")
    reason = f"no published release has these row counts; the latest anchor_year_group ends in {max(ends)}"
    return Ending(max(ends), reason)


def _mend(table: str, found: int, release: Release) -> str:
    others = [other.name for other in RELEASES if other.rows[table] == found]
    if others:
        return f"that is {others[0]}'s table, and all tables must be of one release"
    return (
        "download it again" if found < release.rows[table] else "more than were published; put the published file there"
    )


def near_miss(rows: Mapping[str, int]) -> str:
    """Suspect a half download that no release matches: one of the two identifying tables is a published one.

    Returns what is suspected, or nothing.
    """
    for release in RELEASES:
        same = [table for table in IDENTITY if rows.get(table) == release.rows[table]]
        for table in IDENTITY if same else ():
            if table not in same:
                return (
                    f"{same[0]} is as in MIMIC-IV {release.name}, but {table} has {rows.get(table, 0):,} of its "
                    f"{release.rows[table]:,} rows: download it again"
                )
    return ""
