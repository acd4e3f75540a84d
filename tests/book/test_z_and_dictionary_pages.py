"""Tables and figures of what z holds and of its dictionaries: what is shown is what was given, gaps and all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Estimate, Null
from jepascope.book import certified
from jepascope.book.figures import dictionary, representation, verdicts
from jepascope.book.figures.style import NULL, OBJECT
from jepascope.book.tables import dictionary as dictionary_tables
from jepascope.book.tables import representation as z_tables
from jepascope.pipeline.readings import Reading


def probes():
    """Two groups in two spaces, one of them not computed in the second."""
    rows = [("z", "low_one", 0.61), ("z", "high_one", 0.83), ("untrained z", "low_one", 0.72)]
    table = pd.DataFrame(rows, columns=["representation", "target", "value"])
    table = table.assign(low=table["value"] - 0.02, high=table["value"] + 0.02, null=0.5, selectivity=0.1)
    return table.assign(positives=12.0, n_patients=40.0, prevalence=0.25)


def test_groups_stand_in_the_order_of_z_with_what_is_missing_left_open():
    table = z_tables.groups_table(probes())
    assert table["target"].tolist() == ["high one", "low one"]
    assert table["z"].tolist() == ["0.83 [0.81, 0.85]", "0.61 [0.59, 0.63]"]
    assert table["untrained z"].tolist() == ["—", "0.72 [0.70, 0.74]"]


def test_everyone_and_the_subset_stand_beside_each_other_and_nuisances_have_no_subset():
    everyone = pd.concat([probes(), probes()[:1].assign(target="icd_9")], ignore_index=True)
    table = z_tables.everyone_table(everyone, probes().assign(value=0.9, prevalence=0.5)).set_index("target")
    assert table.loc["low one", "subset: z"].startswith("0.90")
    assert table.loc["low one", ["prevalence, subset", "prevalence, everyone"]].tolist() == ["50.0%", "25.0%"]
    assert table.loc["icd 9", ["prevalence, subset", "subset: z"]].tolist() == ["—", "—"]


def test_a_search_in_umap_claims_nothing_of_coming_back():
    row = {"representation": "z", "kept": 2, "refused": 1, "recovered": 0, "inside": 0.4, "value": 0.3, "low": 0.2}
    row |= {"high": 0.4, "dbcv": np.nan, "rand": 0.5, "n_patients": 50.0}
    table = z_tables.searches_table(pd.DataFrame([{"search": s, **row} for s in ("PCA", "UMAP")]))
    assert table["come back"].tolist() == ["0", "not drawn again"]
    assert table["in those that come back"].tolist() == ["0.30 [0.20, 0.40]", "—"]
    clusters = pd.DataFrame([{"search": s, "representation": "z", "cluster": 0, "patients": 30, "rows": 90,
                              "top_share": 0.1, "jaccard": 0.7} for s in ("PCA", "UMAP")])  # fmt: skip
    assert len(z_tables.clusters_table(clusters)) == 1


def test_measures_have_intervals_counts_have_none_and_dictionaries_that_were_not_measured_no_row():
    measured = pd.DataFrame(
        [("pca", "fvu", 0.4, 0.3, 0.5), ("pca", "dead", 3.0, np.nan, np.nan)],
        columns=["dictionary", "measure", "value", "low", "high"],
    ).assign(n_rows=100, n_patients=30)
    table = dictionary_tables.measured_table(measured, dictionary_tables.BASELINES, dictionary_tables.CODES)
    assert table["dictionary"].tolist() == ["PCA"]
    assert table.loc[0, ["FVU", "dead", "L0"]].tolist() == ["0.40 [0.30, 0.50]", "3", "—"]


def test_floors_are_told_over_all_references():
    floors = pd.DataFrame({"data": ["z", "z", "noise"], "features": [10, 10, 8], "kept": [4, 6, 0]})
    table = dictionary_tables.floors_table(floors)
    assert table["kept"].tolist() == ["4 to 6", "0"]
    assert table["share"].tolist() == ["50.0%", "0.0%"]


def test_a_forest_draws_each_space_where_it_was_measured():
    figure = representation.probe_forest(probes(), ["z", "untrained z"])
    drawn = {line.get_label(): line.get_xdata() for line in figure.axes[0].get_lines()}
    assert drawn["z"] == pytest.approx([0.61, 0.83])
    assert drawn["untrained z"][0] == pytest.approx(0.72)
    assert np.isnan(drawn["untrained z"][1])


def test_halves_that_disagree_are_not_cut_off():
    rows = [("dimension", 9.0, 8.0, 10.0), ("halves", -0.05, -0.1, 0.01)]
    table = pd.DataFrame(rows, columns=["measure", "value", "low", "high"]).assign(representation="z")
    table = table.assign(gaussian=table["value"], gaussian_low=table["low"], gaussian_high=table["high"])
    dimensions, halves = representation.shapes(table).axes
    assert dimensions.get_xlim()[0] == 0
    assert halves.get_xlim()[0] <= -0.1


def test_bars_of_votes_are_blue_where_they_are_kept():
    votes = pd.DataFrame({"alive": [True] * 4 + [False], "counts": [0, 0, 3, 4, 4], "voters": 4, "reappears": 0.5})
    pairs = pd.DataFrame({"data": ["z", "noise"], "share": [0.5, 0.0], "matched": [2, 0], "features": [4, 4]})
    figure = dictionary.dictionary_agreement(pairs, votes.assign(kept=votes["counts"] >= 3), 0.6)
    heights = [patch.get_height() for patch in figure.axes[1].patches]
    assert heights == [2, 0, 0, 1, 1]  # the silent feature has no vote
    colours = [patch.get_facecolor() for patch in figure.axes[1].patches]
    assert colours[3] == colours[4]
    assert colours[3] != colours[0]


def test_dictionaries_of_the_twin_are_grey():
    table = pd.DataFrame({"dictionary": ["topk", "twin"], "measure": "fvu", "value": [0.2, 0.3]})
    table = table.assign(low=table["value"] - 0.1, high=table["value"] + 0.1)
    axes = dictionary.measured_forest(table, {"topk": "SAE", "twin": "twin"}, {"fvu": "FVU"}).axes[0]
    points = {line.get_xdata()[0]: line.get_color() for line in axes.get_lines() if line.get_marker() == "o"}
    assert points == {0.2: OBJECT["z"], 0.3: OBJECT["untrained z"]}
    assert NULL not in points.values()


def test_a_claim_at_chance_needs_the_whole_interval_inside_and_a_claim_that_something_is_read_the_null_below():
    chance = Reading(Estimate(0.5, 0.48, 0.52, 90, 30), Null(0.5, 0.49, 0.51, 0.5))
    assert certified.read("shock_not_in_z_hat", chance).verdict() == "holds"
    wide = chance._replace(estimate=Estimate(0.5, 0.46, 0.52, 90, 30))
    assert certified.read("shock_not_in_z_hat", wide).verdict() == "does not hold"
    read = Reading(Estimate(0.6, 0.55, 0.65, 90, 30), Null(0.5, 0.49, 0.51, 0.001))
    assert certified.read("shock_in_z", read).verdict() == "holds"
    assert certified.read("shock_in_z", read._replace(null=Null(0.56, 0.5, 0.6, 0.1))).verdict() == "does not hold"
    below = Reading(Estimate(-0.03, -0.05, -0.01, 90, 30), Null(0.0, -0.02, 0.02, 1.0))
    assert certified.outcome("no_model_beats_the_risk", below).verdict() == "holds"
    assert certified.outcome("confounder_is_blamed", below).verdict() == "does not hold"


def test_kinds_of_concepts_are_drawn_from_lasting_to_sudden():
    table = pd.DataFrame({"dynamics": ["shock", "chronic"], "object": "z", "value": [0.6, 0.9]})
    axes = verdicts.auroc_by_dynamics(table.assign(low=0.5, high=1.0)).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["chronic", "shock"]
    assert axes.get_lines()[0].get_ydata() == pytest.approx([0.9, 0.6])
