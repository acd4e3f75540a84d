"""By whom a prediction is judged apart: groups of encounters, and whether the event is the patient's first."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

# How MIMIC-IV writes that it doesn't know.
UNRECORDED = ("UNKNOWN", "UNABLE TO OBTAIN", "PATIENT DECLINED TO ANSWER", "")


def subgroups(index: pd.DataFrame, horizon: int) -> dict[str, np.ndarray]:
    """Groupings of encounters by what is known at k: grouping → the name of each row's group, str [N].

    A mean over all hides who is served worse. Race is the hospital's record, cut at its first "/", " - " or " OR ", and
    may change between encounters of a patient. `follow-up` says how far beyond the label's horizon (days) the patient
    was certainly watched: labels near the end of the records rest on the estimated end. "" where nothing is recorded.

    Takes an Encounters index of N rows.
    """
    bands: Mapping[str, tuple[str, list[float], list[str]]] = {
        "age": ("age", [40, 65, 80], ["under 40", "40 to 64", "65 to 79", "80 and over"]),
        "encounter": ("k", [1, 3, 7], ["first", "second, third", "fourth to seventh", "eighth or later"]),
        "follow-up": ("follow_up_days", [horizon + 365], ["under a year to spare", "a year or more to spare"]),
    }
    race = index["race"].fillna("").str.split(r"/| - | OR ", n=1, regex=True).str[0]
    named = {
        "sex": index["sex"].fillna(""),
        "race as recorded": race.where(~index["race"].fillna("").isin(UNRECORDED), "not recorded"),
        "insurance": index["insurance"].fillna(""),
        "ICD era": "ICD-" + index["icd_version"].astype(str),
    }
    banded = {name: _band(index[column].to_numpy(float), edges, to) for name, (column, edges, to) in bands.items()}
    return {name: values.to_numpy(str) for name, values in named.items()} | banded


def settled_by_window(index: pd.DataFrame, horizon: int) -> np.ndarray:
    """When the answer to an encounter's question is known whatever it is: the day after the last one of its horizon.

    Right for every label, and the only right one for psychiatric crisis and death, which can come in any later episode.
    Takes an Encounters index of N rows and the label's horizon in days. Returns datetime64[s] [N].
    """
    return (_ends(index).astype("datetime64[D]") + np.timedelta64(horizon + 1, "D")).astype("datetime64[s]")


def settled_by_next_episode(index: pd.DataFrame, horizon: int) -> np.ndarray:
    """`settled_by_window`, or earlier: of a question about the next episode, the moment when that one is over.

    A patient who is back after ten days and leaves again has been readmitted, whatever the window. Right for
    readmission, escalation and long stay. An encounter that ends in a transfer doesn't end its episode. Takes an
    Encounters index of N rows sorted by (subject_id, k). Returns datetime64[s] [N].
    """
    end = pd.Series(_ends(index), index.index)
    closing = end.where(index["eligibility_30d"] != "transfer").groupby(index["subject_id"])
    following = closing.shift(-1).groupby(index["subject_id"]).bfill()  # end of the first later row that closes one
    return np.fmin(following.to_numpy("datetime64[s]"), settled_by_window(index, horizon))


def had_event_before(index: pd.DataFrame, labels: np.ndarray, settled: np.ndarray) -> np.ndarray:
    """Whether the patient is known at discharge of k to have had the event before: bool [N].

    A model that has learnt "those who came back come back" scores well on repeats and can be useless for the first
    event. Counts labels of 1 at j < k that are settled by the end of k; a label at j whose window is open at k would
    tell the future. An event that no label tells of (unknown follow-up, not eligible) isn't counted.

    Args: an Encounters index of N rows sorted by (subject_id, k); labels [N] in {0, 1} or NaN; settled datetime64 [N].
    """
    told = pd.Series(settled, index.index).where(np.asarray(labels) == 1)
    patients = index["subject_id"]
    # When the earliest event at any j < k was settled.
    first = told.groupby(patients).cummin().groupby(patients).ffill().groupby(patients).shift(1)
    return (first <= pd.Series(_ends(index), index.index)).to_numpy(bool)


def _ends(index: pd.DataFrame) -> np.ndarray:
    """When each row's episode ends so far, datetime64[s] [N]: stays can lie inside one another."""
    return index.groupby("subject_id")["dischtime"].cummax().to_numpy("datetime64[s]")


def _band(values: np.ndarray, edges: list[float], names: list[str]) -> np.ndarray:
    banded = np.array(names)[np.searchsorted(edges, values, "right")]
    return np.where(np.isfinite(values), banded, "")
