"""What the cohort looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, panels

# Why an encounter has no label, in words.
REASONS = {
    "died": "died in hospital",
    "against_advice": "left against advice",
    "acute_hospital": "to another hospital",
    "hospice": "to hospice",
    "transfer": "stay continues in the next",
    "under_18": "under 18",
    "censored": "follow-up not certain",
}


def cohort_shape(index: pd.DataFrame) -> Figure:
    """Encounters per patient, gaps and lengths of stay, from an Encounters index [N rows]."""
    figure, (count, gap, stay) = panels(columns=3, height=2.4)
    per_patient = index.groupby("subject_id").size().clip(upper=10).value_counts(normalize=True).sort_index()
    count.bar(per_patient.index, per_patient, color=NULL)
    count.set(title="encounters per patient", xlabel="encounters (10: ten or more)", ylabel="share of patients")
    count.set_xticks([1, 2, 4, 6, 8, 10])
    later = index.loc[index["k"] > 0, "gap_days"].clip(lower=0.5)
    _log_histogram(gap, later.to_numpy(), "gap since last discharge", "days")
    _log_histogram(stay, index["los_days"].clip(lower=0.1).to_numpy(), "length of stay", "days")
    return figure


def label_eligibility(index: pd.DataFrame) -> Figure:
    """How many encounters carry a 30-day label, and why the others don't."""
    figure, (axes,) = panels(height=2.2)
    label = index["label_30d_per_enc"].map({1.0: "eligible: readmitted", 0.0: "eligible: not readmitted"})
    reason = label.where(label.notna(), index["eligibility_30d"])
    counts = reason.map(REASONS).fillna(reason).value_counts().sort_values()
    colours = [OBJECT["z"] if name.startswith("eligible") else NULL for name in counts.index]
    axes.barh(counts.index, counts, color=colours)
    for place, value in enumerate(counts):
        axes.text(value, place, f" {value / len(index):.1%}", va="center", fontsize=8)
    axes.set(xlabel="encounters")
    return figure


def _log_histogram(axes, values: np.ndarray, title: str, unit: str) -> None:  # type: ignore[no-untyped-def]
    if len(values):
        edges = np.geomspace(values.min(), max(values.max(), values.min() * 1.01), 30)
        axes.hist(values, bins=edges, color=NULL)
        median = float(np.median(values))
        axes.axvline(median, color=OBJECT["z"], linewidth=1)
        axes.text(median, axes.get_ylim()[1], f" median {median:.1f}", color=OBJECT["z"], fontsize=8, va="top")
    axes.set(title=title, xlabel=unit, xscale="log")
