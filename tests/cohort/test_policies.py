from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.analysis.inference.stats import Inference
from jepascope.cohort.encounters import Encounters, load
from jepascope.cohort.extract import extract
from jepascope.cohort.questions import LABELS
from jepascope.cohort.synthetic import synthesize
from jepascope.pipeline.cohort import policies
from jepascope.pipeline.cohort.policies import OURS, compare_policies
from jepascope.pipeline.cohort.summaries import group_sizes, label_rates, planted_example, subset_sizes

STATISTICS = params.Statistics(bootstrap=50)


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[Encounters, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("policies")
    synthesize(folder / "planted", params.Synthetic(patients=1500))
    (folder / "encounters").mkdir()
    extraction = params.Extraction(test_share=0.4, validation_share=0.05)
    extract(folder / "encounters", folder / "planted", params.Source(), extraction)
    compare_policies(folder, folder / "encounters", STATISTICS)
    return load(folder / "encounters"), pd.read_parquet(folder / "table.parquet").set_index("policy")


def test_dropping_last_encounters_makes_the_rate_higher(compared):
    table = compared[1]
    assert table["rate"]["drop the last encounter"] > table["rate_high"][OURS]
    assert table["encounters"]["last encounter is negative"] == table["encounters"].max()
    assert table["auroc"].between(0.5, 0.85).all()


def test_the_rate_under_our_policy_is_that_of_the_label(compared):
    encounters, table = compared
    label = encounters.index["label_30d_per_enc"].dropna()
    assert table["rate"][OURS] == pytest.approx(label.mean())
    assert table["positives"][OURS] == label.sum()


def test_whoever_had_not_qualified_yet_is_left_out_of_the_last_row(compared):
    encounters, table = compared
    index = encounters.index[encounters.index["qualified_so_far"]]
    assert table["encounters"][f"{OURS}, qualified by then"] == index["label_30d_per_enc"].notna().sum()
    assert 0 < len(index) < len(encounters.index)


def test_of_many_patients_a_part_is_compared_whole(compared, monkeypatch):
    encounters = compared[0]
    monkeypatch.setattr(policies, "MAX_PATIENTS", 500)
    some = policies._some_patients(encounters)
    mine = encounters.index["subject_id"].isin(some.index["subject_id"]).to_numpy()
    assert 400 < some.index["subject_id"].nunique() < 600
    assert some.index["hadm_id"].tolist() == encounters.index["hadm_id"][mine].tolist()
    for row, old in enumerate(np.flatnonzero(mine)):
        expected = encounters.tokens[encounters.offsets[old] : encounters.offsets[old + 1]]
        np.testing.assert_array_equal(some.tokens[some.offsets[row] : some.offsets[row + 1]], expected)


def test_label_rates_are_means_within_their_intervals(compared):
    index = compared[0].index
    rates = label_rates(index, Inference(**STATISTICS.model_dump()), np.random.default_rng(0))
    assert len(rates) == len(LABELS)
    for label, row in zip(LABELS, rates.itertuples(), strict=True):
        assert row.rate == pytest.approx(index[label].mean())
        assert row.low <= row.rate <= row.high
        assert row.encounters == index[label].notna().sum()


def test_subsets_are_nested_in_size_and_groups_are_counted_at_the_encounter(compared):
    index = compared[0].index
    sizes = subset_sizes(index).set_index("subset")["encounters"]
    assert sizes["any F code"] > sizes["F code as principal diagnosis"] > sizes["and on the psychiatric service"] > 0
    groups = group_sizes(index).set_index("group")
    assert groups["encounters"]["depressive"] == index["group_depressive"].sum()
    assert groups["encounters"].is_monotonic_decreasing


def test_the_example_is_one_planted_patient_in_order():
    example = planted_example(params.Extraction())
    assert example["k"].tolist() == [0, 1, 2]
    assert example["words"].str.contains("ICD10//").all()
