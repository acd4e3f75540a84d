"""Tables of chapter 05: what z holds, beside the untrained twin and raw codes."""

from __future__ import annotations

import pandas as pd

NAMES = {
    "dimension": "intrinsic dimension (TwoNN)",
    "participation": "participation ratio",
    "halves": "agreement of halves",
}
SEARCHES = {"PCA": "principal axes", "UMAP": "5 dimensions of UMAP"}


def groups_table(table: pd.DataFrame) -> pd.DataFrame:
    """AUROC of each group in every space, then null and selectivity of z, carriers' rows and patients.

    table: rows of `probe_concepts` that could be computed.
    """
    wide = _wide(table, "value", "low", "high")
    z = table[table["representation"] == "z"].set_index("target")
    order = z["value"].sort_values(ascending=False).index
    beside = {
        "null of z": z["null"].map("{:.2f}".format),
        "selectivity of z": z["selectivity"].map("{:.2f}".format),
        "with it": z["positives"].astype(int),
        "patients": z["n_patients"].astype(int),
    }
    return _named(wide.assign(**beside).loc[order])


def readers_table(table: pd.DataFrame, codes: pd.DataFrame) -> pd.DataFrame:
    """Share of bits saved, and AUROC of the difference of means, for z, the untrained z and raw codes by group."""
    spaces = ["z", "untrained z", "raw codes"]
    saved = _wide(codes, "value", "low", "high")[spaces].add_prefix("bits saved: ")
    means = _wide(table, "means", "means_low", "means_high")[spaces].add_prefix("means: ")
    patients = codes.groupby("target", sort=False)["n_patients"].first().astype(int).rename("patients sent")
    return _named(saved.join(means, how="left").join(patients).fillna("—"))


def everyone_table(everyone: pd.DataFrame, subset: pd.DataFrame) -> pd.DataFrame:
    """Groups and nuisances among all encounters, with prevalence there and in the subset, and z's AUROC in both."""
    wide = _wide(everyone, "value", "low", "high").add_prefix("everyone: ")
    z, within = (t[t["representation"] == "z"].set_index("target") for t in (everyone, subset))
    inside = _wide(subset, "value", "low", "high")["z"].reindex(wide.index).fillna("—")
    shares = within["prevalence"].reindex(wide.index).map("{:.1%}".format).replace("nan%", "—")
    front = pd.DataFrame({"prevalence, subset": shares, "prevalence, everyone": z["prevalence"].map("{:.1%}".format)})
    back = {"null of z": z["null"].map("{:.2f}".format), "patients": z["n_patients"].astype(int)}
    return _named(front.join(inside.rename("subset: z")).join(wide).assign(**back).reindex(wide.index))


def outcomes_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """AUROC of each outcome in every space, with z's null, rows with it, and patients."""
    z = outcomes[outcomes["representation"] == "z"].set_index("target")
    beside = {"null of z": z["null"].map("{:.2f}".format), "with it": z["positives"].astype(int)}
    return _named(_wide(outcomes, "value", "low", "high").assign(**beside, patients=z["n_patients"].astype(int)))


def searches_table(searches: pd.DataFrame) -> pd.DataFrame:
    """One row a search for clusters: how many, how many are refused and come back, share of encounters, validity."""
    rows = searches.drop_duplicates(["search", "representation", "kept", "refused", "recovered"])
    again = rows["recovered"].astype(str).where(rows["search"] == "PCA", "not drawn again")
    return pd.DataFrame(
        {
            "searched in": rows["search"].map(SEARCHES),
            "space": rows["representation"],
            "clusters": rows["kept"],
            "refused": rows["refused"],
            "come back": again,
            "encounters inside": rows["inside"].map("{:.0%}".format),
            "in those that come back": _intervals(rows, "value", "low", "high").where(rows["search"] == "PCA", "—"),
            "DBCV": rows["dbcv"].map(_number),
            "mean ARI": rows["rand"].map(_number),
            "patients": rows["n_patients"].astype(int),
        }
    )


def clusters_table(clusters: pd.DataFrame) -> pd.DataFrame:
    """One row a cluster of the principal axes: patients, rows, the largest share of one patient, Jaccard index."""
    rows = clusters[clusters["search"] == "PCA"]
    sizes = rows[["representation", "cluster", "patients", "rows"]].rename(columns={"representation": "space"})
    return sizes.assign(
        **{"largest share": rows["top_share"].map("{:.0%}".format), "Jaccard": rows["jaccard"].map(_number)}
    )


def shape_table(shape: pd.DataFrame) -> pd.DataFrame:
    """Each measure by space, with its Gaussian cloud and its null."""
    return pd.DataFrame(
        {
            "measure": shape["measure"].map(NAMES),
            "space": shape["representation"],
            "value": _intervals(shape, "value", "low", "high"),
            "Gaussian cloud": _intervals(shape, "gaussian", "gaussian_low", "gaussian_high"),
            "null": shape["null"].map(_number),
            "patients": shape["n_patients"].astype(int),
        }
    )


def _wide(table: pd.DataFrame, value: str, low: str, high: str) -> pd.DataFrame:
    """Targets × representations, both in order of appearance, each cell a number with its interval."""
    spelled = table.assign(cell=_intervals(table, value, low, high))
    wide = spelled.pivot(index="target", columns="representation", values="cell").fillna("—")
    return wide.loc[list(dict.fromkeys(table["target"])), list(dict.fromkeys(table["representation"]))]


def _intervals(table: pd.DataFrame, value: str, low: str, high: str) -> pd.Series:
    cells = [
        "—" if pd.isna(v) else f"{v:z.2f} [{a:z.2f}, {b:z.2f}]"
        for v, a, b in zip(table[value], table[low], table[high], strict=True)
    ]
    return pd.Series(cells, index=table.index, dtype=object)


def _number(value: float) -> str:
    return "—" if pd.isna(value) else f"{value:z.2f}"


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The targets as the first column, without underscores."""
    table = table.rename_axis(columns=None).reset_index()
    return table.assign(target=table["target"].str.replace("_", " "))


def not_computed(table: pd.DataFrame) -> str:
    """Name the probes that the data can't support; the reasons stand in the stored table."""
    return ", ".join(table.loc[table["value"].isna(), "target"].drop_duplicates()) or "none"
