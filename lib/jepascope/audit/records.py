"""T2, T3, T5 and T12 on records: planted tables are cut, or scrambled, before the extraction reads them.

What extraction makes of a record up to k must be what it makes of a record that ends there. A table of encounters
can't show that; only reading the records twice can.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.audit.findings import Finding, judge
from jepascope.audit.perturbation import OF_THE_FUTURE
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read as extract_read
from jepascope.cohort.questions import QUESTIONS
from jepascope.cohort.synthetic import synthesize
from jepascope.cohort.tokens import Fitted
from jepascope.progress import TERMINAL

Tables = dict[str, pd.DataFrame]
# The tables with the clock by which each row is known; a row without one is known with its admission.
CLOCKS = {
    "hosp/labevents": "storetime",
    "hosp/prescriptions": "starttime",
    "hosp/services": "transfertime",
    "hosp/transfers": "intime",
    "icu/icustays": "intime",
}
WINDOW = 30  # days: labels with a horizon up to this are asked again of records that end there


class Extracted(NamedTuple):
    """What one reading of tables gave."""

    cohort: Encounters
    fitted: Fitted


# (empty folder, tables, what tokens have learnt already, if anything) -> Extracted
Read = Callable[[Path, Tables, Fitted | None], Extracted]


def planted_tables(folder: Path, synthetic: params.Synthetic) -> Tables:
    """Write a planted cohort and read its tables as text, so that a row that stays keeps every character."""
    synthesize(folder, synthetic)
    files = sorted(file for room in ("hosp", "icu") for file in (folder / room).glob("*.csv"))
    return {f"{f.parent.name}/{f.stem}": pd.read_csv(f, dtype=str, keep_default_na=False) for f in files}


def reader(root: Path, extraction: params.Extraction) -> Read:
    """The pipeline's own reading of tables; `root` is the planted cohort, whose marks a copy needs."""

    def read(folder: Path, tables: Tables, fitted: Fitted | None = None) -> Extracted:
        tree, work = folder / "tree", folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        work.mkdir(parents=True)
        for name, table in tables.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(tree / f"{name}.csv", index=False)
        for mark in root.glob("*.sha256"):
            shutil.copyfile(mark, tree / mark.name)
        with _no_bars():
            extracted = Extracted(*extract_read(work, tree, params.Source(), extraction, fitted))
        shutil.rmtree(folder)
        return extracted

    return read


def extraction_reads_no_future(
    folder: Path, tables: Tables, read: Read, whole: Extracted, rng: np.random.Generator
) -> list[Finding]:
    """Cut each patient's tables at the end of a random encounter, read them again, and compare all that lies before.

    `whole` is the same reading of the whole tables. T3: the same encounters are in. T12: they have the same columns
    and the same words.
    """
    index = whole.cohort.index
    last = index.groupby("subject_id")["k"].transform("max").to_numpy()
    patient = np.unique(index["subject_id"], return_inverse=True)[1]
    chosen = np.floor(rng.random(patient.max() + 1)[patient] * (last + 1)).astype(int)  # [N], the k to cut at
    here = index["k"].to_numpy() <= chosen
    moments = index[here].groupby("subject_id")["dischtime"].max()
    known = set(index.loc[here, "hadm_id"].astype(str))
    cut = read(folder, _cut(tables, moments, known), whole.fitted).cohort
    kept = index[here]
    both = sorted(set(kept["hadm_id"]) & set(cut.index["hadm_id"]))
    moved = len(set(kept["hadm_id"]) ^ set(cut.index["hadm_id"]))
    told = f"{len(kept):,} encounters before the cut; in or out otherwise: {moved}"
    changed = _columns_that_differ(kept, cut.index, both)
    words = sum(_words(whole.cohort)[hadm] != _words(cut)[hadm] for hadm in both) if both else 0
    seen = f"{len(both):,} encounters; other words: {words}" + (f"; other {', '.join(changed)}" if changed else "")
    patients = kept["subject_id"].nunique()
    return [
        judge("T3", "planted records cut at k", moved, 0, told, len(kept), patients),
        judge("T12", "planted records cut at k", words + len(changed), 0, seen, len(both), patients),
    ]


def labels_read_their_window(
    folder: Path, tables: Tables, read: Read, whole: Extracted, rng: np.random.Generator
) -> Finding:
    """T2: remove all admissions and deaths later than WINDOW days after a random encounter: its labels stay."""
    index = whole.cohort.index
    chosen = index.iloc[rng.permutation(len(index))].drop_duplicates("subject_id").set_index("subject_id")
    ends = index.assign(end=index.groupby("subject_id")["dischtime"].cummax()).set_index("hadm_id")["end"]
    day = ends[chosen["hadm_id"]].set_axis(chosen.index).dt.normalize() + pd.Timedelta(days=WINDOW + 1)  # too late
    late = tables["hosp/admissions"]
    later = late["admittime"].to_numpy() >= late["subject_id"].map(_text(day)).fillna("9999").to_numpy(str)
    gone = set(late["hadm_id"][later])
    kept = {name: t[~t["hadm_id"].isin(gone)] if "hadm_id" in t else t for name, t in tables.items()}
    people = tables["hosp/patients"]
    dead = (people["dod"] != "") & (people["dod"] >= people["subject_id"].map(_text(day).str[:10]).fillna("9999"))
    kept["hosp/patients"] = people.assign(dod=people["dod"].where(~dead, ""))
    again = read(folder, kept, whole.fitted).cohort.index.set_index("hadm_id")
    asked = [q.column for q in QUESTIONS if isinstance(q.horizon, int) and q.horizon <= WINDOW]
    before = index.set_index("hadm_id").loc[chosen["hadm_id"], asked]
    after = again.reindex(chosen["hadm_id"])[asked]
    moved = int((~np.isclose(before, after, equal_nan=True)).sum())
    detail = f"{len(asked)} labels of {len(chosen):,} encounters, the record ending {WINDOW} days later; moved: {moved}"
    return judge("T2", "planted records cut at k + H", moved, 0, detail, len(chosen), len(chosen))


def extraction_fits_on_training_patients(folder: Path, tables: Tables, read: Read, whole: Extracted) -> Finding:
    """T5: give test patients other diagnoses and other laboratory values: vocabulary and deciles stay as they are."""
    test = whole.cohort.index.loc[whole.cohort.index["split"] == "test", "subject_id"].astype(str)
    diagnoses, labs = tables["hosp/diagnoses_icd"], tables["hosp/labevents"]
    values = pd.to_numeric(labs["valuenum"])
    scrambled = {
        **tables,
        "hosp/diagnoses_icd": diagnoses.assign(
            icd_code=diagnoses["icd_code"].where(~diagnoses["subject_id"].isin(test), "A000")
        ),
        "hosp/labevents": labs.assign(valuenum=values.where(~labs["subject_id"].isin(test), values * 100)),
    }
    again = read(folder, scrambled, None)
    before, after = whole.fitted, again.fitted
    moved = [
        name
        for name, same in (
            ("vocabulary", before.vocabulary.equals(after.vocabulary)),
            ("deciles", before.deciles.astype(str).equals(after.deciles.astype(str))),
        )
        if not same
    ]
    detail = f"vocabulary and deciles; moved: {', '.join(moved) or 'none'}"
    return judge("T5", "extraction of planted records", len(moved), 0, detail, len(whole.cohort.index), test.nunique())


@contextlib.contextmanager
def _no_bars() -> Iterator[None]:
    """Leave the terminal alone: three bars for each of twenty readings of a second would say nothing."""
    before = os.environ.get(TERMINAL)
    os.environ[TERMINAL] = os.devnull
    try:
        yield
    finally:
        del os.environ[TERMINAL]
        if before is not None:
            os.environ[TERMINAL] = before


def _cut(tables: Tables, moments: pd.Series, known: set[str]) -> Tables:
    """Leave what was known at a patient's moment (subject_id → time): rows of known admissions, by their clocks."""
    moment = _text(moments)
    cut = {}
    for name, table in tables.items():
        if "subject_id" not in table:
            cut[name] = table
            continue
        rows = table["subject_id"].isin(moment.index)
        limit = table["subject_id"].map(moment).fillna("")
        if "hadm_id" in table:
            rows &= table["hadm_id"].isin(known) | (table["hadm_id"] == "")
        if name in CLOCKS:
            rows &= table[CLOCKS[name]] <= limit
        cut[name] = table[rows]
    people = cut["hosp/patients"]
    later = people["dod"] > people["subject_id"].map(moment).str[:10]
    cut["hosp/patients"] = people.assign(dod=people["dod"].where(~later, ""))
    return cut


def _text(times: pd.Series) -> pd.Series:
    """Times as the tables spell them, by subject id as text: texts of this form are in order of time."""
    return times.dt.strftime("%Y-%m-%d %H:%M:%S").set_axis(times.index.astype(str))


def _columns_that_differ(kept: pd.DataFrame, cut: pd.DataFrame, both: list[int]) -> list[str]:
    columns = [name for name in kept if name not in OF_THE_FUTURE and name != "n_tokens"]
    before, after = (table.set_index("hadm_id", drop=False).loc[both, columns] for table in (kept, cut))
    return [name for name in columns if not before[name].equals(after[name])]


def _words(cohort: Encounters) -> dict[int, bytes]:
    pairs = zip(cohort.index["hadm_id"], cohort.offsets[:-1], cohort.offsets[1:], strict=True)
    return {hadm: cohort.tokens[start:end].tobytes() for hadm, start, end in pairs}
