"""The cohort in numbers: how often each label is known and true, and how large each subset is."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.inference.stats import Inference, NotComputable, bootstrap_mean
from jepascope.cohort.concepts import psychiatric_groups, psychiatric_subsets
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.extract import read
from jepascope.cohort.questions import QUESTIONS
from jepascope.cohort.synthetic import synthesize


def label_rates(index: pd.DataFrame, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """How often each label is 1 among the encounters that have it, with patient-bootstrap intervals.

    Returns a row per label: label, encounters and patients that have it, positives, rate, low, high (NaN where too few
    patients have it).
    """
    rows = []
    for question in QUESTIONS:
        known = index[index[question.column].notna()]
        values, patients = known[question.column].to_numpy(), known["subject_id"].to_numpy()
        try:
            rate = bootstrap_mean(values, patients, how.bootstrap, how.level, rng, how.min_patients)
            cells = {"rate": rate.value, "low": rate.low, "high": rate.high}
        except NotComputable:
            cells = dict.fromkeys(("rate", "low", "high"), np.nan)
        counts = {"encounters": len(known), "patients": known["subject_id"].nunique(), "positives": int(values.sum())}
        rows.append({"label": question.name, **counts, **cells})
    return pd.DataFrame(rows)


def subset_sizes(index: pd.DataFrame) -> pd.DataFrame:
    """Encounters and patients of each reading of the psychiatric subset: subset, encounters, patients, share."""
    members = {name: index[member] for name, member in psychiatric_subsets(index).items()}
    return pd.DataFrame(
        {
            "subset": list(members),
            "encounters": [len(rows) for rows in members.values()],
            "patients": [rows["subject_id"].nunique() for rows in members.values()],
            "share": [len(rows) / max(len(index), 1) for rows in members.values()],
        }
    )


def group_sizes(index: pd.DataFrame) -> pd.DataFrame:
    """Encounters and patients with each psychiatric concept group coded at k: group, encounters, patients."""
    coded = {name: index[member] for name, member in psychiatric_groups(index).items()}
    counts = {
        "group": list(coded),
        "encounters": [len(rows) for rows in coded.values()],
        "patients": [rows["subject_id"].nunique() for rows in coded.values()],
    }
    return pd.DataFrame(counts).sort_values("encounters", ascending=False, ignore_index=True)


def planted_example(extraction: params.Extraction) -> pd.DataFrame:
    """Show what a record looks like: always a planted patient's, whatever the cohort is made from.

    Returns one patient of a small planted cohort, a row per encounter: k, days, and all words, none too rare.
    """
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "planted"
        synthesize(root, params.Synthetic(patients=60))
        loose = extraction.model_copy(update={"min_patients_per_token": 1, "max_patients": None, "min_age": 18.0})
        planted, _ = read(Path(scratch), root, params.Source(), loose)
    return _patient(planted)


def _patient(encounters: Encounters) -> pd.DataFrame:
    """A patient with three encounters, or nearly: k, gap and stay in days, the words of each kind."""
    index, vocabulary = encounters.index, encounters.vocabulary
    lives = index.groupby("subject_id").size()
    mine = index[index["subject_id"] == (lives - 3).abs().idxmin()]
    rows = []
    for row, encounter in mine.iterrows():
        ids = encounters.tokens[encounters.offsets[row] : encounters.offsets[row + 1]]
        words = vocabulary.iloc[ids].groupby("kind", sort=False)["token"].agg(" ".join)
        days = {"days since discharge": encounter["gap_days"], "days in hospital": encounter["los_days"]}
        rows.append({"k": int(encounter["k"]), **days, "words": "  ·  ".join(words)})
    return pd.DataFrame(rows)
