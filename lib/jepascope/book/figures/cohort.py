"""What the cohort looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from jepascope.book.figures.style import NULL, OBJECT, panels

# Words have no object's colour (Tol 2021, "muted").
KINDS = ("#332288", "#117733", "#882255", "#999933", "#4D4D4D")

# Why an encounter has no label, in words.
REASONS = {
    "died": "died in hospital",
    "against_advice": "left against advice",
    "acute_hospital": "to another hospital",
    "hospice": "to hospice",
    "transfer": "stay continues in the next",
    "under_18": "under 18",
    "follow_up_uncertain": "follow-up not certain",
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


def icd_era(index: pd.DataFrame) -> Figure:
    """Share of encounters billed in each ICD version, by the three-year group of the patient's anchor [N rows]."""
    figure, (axes,) = panels(height=2.2)
    known = index[index["icd_version"] > 0]
    shares = pd.crosstab(known["anchor_year_group"].fillna("not told"), known["icd_version"], normalize="index")
    left = np.zeros(len(shares))
    for version, colour, ink in ((9, NULL, "black"), (10, OBJECT["z"], "white")):
        width = shares.get(version, pd.Series(0.0, shares.index)).to_numpy()
        axes.barh(shares.index, width, left=left, color=colour)
        for place, (start, share) in enumerate(zip(left, width, strict=True)):
            if share > 0.13:
                axes.text(
                    start + share / 2,
                    place,
                    f"ICD-{version} {share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=ink,
                )
        left += width
    axes.invert_yaxis()
    axes.set(xlabel="share of encounters with a coded diagnosis", ylabel="patient's anchor years", xlim=(0, 1))
    return figure


def code_prevalence(tokens: np.ndarray, kinds: np.ndarray, encounters: int) -> Figure:
    """Share of encounters that carry each word, by its rank within its kind, on log axes: how long the tail is.

    tokens [T] flat ids; kinds [V] of each word; encounters: N.
    """
    figure, (axes,) = panels(height=2.9)
    carried = np.bincount(tokens, minlength=len(kinds)) / max(encounters, 1)
    chosen = [kind for kind in ("diagnosis", "drug", "lab", "procedure", "unit") if (kinds == kind).sum() > 1]
    for kind, colour in zip(chosen, KINDS, strict=False):
        shares = np.sort(carried[kinds == kind])[::-1]
        shares = shares[shares > 0]
        axes.plot(1 + np.arange(len(shares)), shares, color=colour, linewidth=1.5)
        axes.text(len(shares), shares[-1], f" {kind} ({len(shares):,})", color=colour, fontsize=8, va="center")
    axes.set(xscale="log", yscale="log", xlabel="rank of the word within its kind", ylabel="share of encounters")
    axes.margins(x=0.2)
    axes.set_xlim(left=0.9)
    return figure


def policies(table: pd.DataFrame) -> Figure:
    """Rate and AUROC with intervals under each last-encounter policy: rows of `compare_policies`."""
    figure, (rate, score) = panels(columns=2, height=2.6)
    places = np.arange(len(table))
    ours = table["policy"].str.startswith("certain follow-up")
    for axes, name, title in ((rate, "rate", "30-day rate"), (score, "auroc", "AUROC on test patients")):
        for place, row, mine in zip(places, table.to_dict("records"), ours, strict=True):
            colour = OBJECT["z"] if mine else "#707070"
            axes.plot([row[f"{name}_low"], row[f"{name}_high"]], [place, place], color=colour, linewidth=1.5)
            axes.plot(row[name], place, "o", color=colour, markersize=4)
        axes.set(title=title, yticks=places, yticklabels=table["policy"] if axes is rate else [])
        axes.invert_yaxis()
    return figure
