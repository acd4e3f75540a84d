"""Tables of the chapter on the error."""

from __future__ import annotations

import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import interval

PARTS = {"bias": "bias", "systematic": "systematic", "innovation": "innovation"}
READERS = {"own": "c and gap", "past": "and the past"}


def parts_table(shares: pd.DataFrame) -> pd.DataFrame:
    """Shares of E‖e‖² by model and reader, with intervals; shares: of `pipeline.error.parts.take_apart`."""
    spelled = shares.assign(text=[interval(_estimate(row)) for _, row in shares.iterrows()])
    wide = spelled.pivot(index=["model", "reader"], columns="part", values="text")
    order = spelled[["model", "reader"]].drop_duplicates().apply(tuple, axis=1)
    told = wide.loc[order, [*PARTS, "lost"]].fillna("—").reset_index()
    counts = shares.groupby(["model", "reader"], sort=False)[["n_rows", "n_patients"]].first().to_numpy()
    told = told.rename(columns={"lost": "gained by the past"}).assign(rows=counts[:, 0], patients=counts[:, 1])
    return told.replace({"reader": READERS}).rename_axis(columns=None)


def map_table(found: pd.DataFrame) -> pd.DataFrame:
    """The blind-spot map in numbers: a row a concept; found: of `pipeline.error.concepts.load_map`."""
    cells = {
        title: [interval(_estimate(row, name)) for _, row in found.iterrows()]
        for name, title in (("unforeseen", "not foreseen"), ("systematic", "systematic"), ("lost", "lost"))
    }
    band = [f"{low:.2f} to {high:.2f}" for low, high in zip(found["band_low"], found["band_high"], strict=True)]
    counts = {"encounters with it": "encounters", "patients with it": "carriers", "patients": "n_patients"}
    told = found[["concept", "family"]].assign(**cells, **{"random directions": band, "q": found["q"].round(3)})
    return told.assign(**{title: found[name].astype(int) for title, name in counts.items()})


def outcome_gains(table: pd.DataFrame) -> pd.DataFrame:
    """What lengths of e add to outcomes after k; table: of `pipeline.error.outcomes`."""
    gains = [row["reason"] or interval(_estimate(row)) for _, row in table.iterrows()]
    null = ["—" if pd.isna(v) else f"{v:z.4f}" for v in table["null"]]
    base = ["—" if pd.isna(v) else f"{v:.3f}" for v in table["base"]]
    counts = {
        title: ["—" if pd.isna(v) else f"{v:,.0f}" for v in table[name]]
        for name, title in (("positives", "positives"), ("n_rows", "rows"), ("n_patients", "patients"))
    }
    return table[["model", "outcome", "measure"]].assign(
        **{"AUROC without": base, "gain": gains, "null": null}, **counts
    )


def probe_columns(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC of each group on each space, one row a group; table: of `analysis.probes.linear.probe_table`."""
    spelled = table.assign(
        target=table["target"].str.replace("_", " "),
        text=[row["reason"] if pd.isna(row["value"]) else interval(_estimate(row)) for _, row in table.iterrows()],
    )
    wide = spelled.pivot(index="target", columns="representation", values="text")
    counts = spelled.groupby("target")[["positives", "n_patients", "null"]].first()
    counts = counts.rename(columns={"n_patients": "patients"}).fillna(0).astype({"positives": int, "patients": int})
    ordered = wide[list(dict.fromkeys(table["representation"]))]
    return ordered.join(counts.assign(null=counts["null"].round(3))).reset_index()


def _estimate(row: pd.Series, name: str = "value") -> Estimate:
    ends = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    return Estimate(row[name], row[ends[0]], row[ends[1]], int(row["n_rows"]), int(row["n_patients"]))
