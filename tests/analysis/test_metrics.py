"""All measures together: degenerate rows, groups too small to show, pairing, and whether the intervals cover."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, roc_auc_score

from jepascope.analysis.inference import stats
from jepascope.analysis.inference.joint import difference
from jepascope.analysis.outcomes import metrics

HOW = stats.Inference(bootstrap=200, level=0.9, min_patients=10, min_carriers=3)


def cohort(n_patients, rng, rows=5):
    """Patients whose rows share a risk; the model sees it with noise and is too extreme by a quarter."""
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 2 * rows, n_patients))
    shared = rng.normal(size=n_patients)[patients]
    labels = (rng.random(len(patients)) < expit(1.5 * shared - 1)).astype(float)
    return expit(1.25 * (1.2 * shared + 0.5 * rng.normal(size=len(patients)) - 1)), labels, patients


def test_every_measure_has_its_own_name_and_equals_its_reference():
    p, labels, patients = cohort(300, np.random.default_rng(0))
    found = metrics.measure(p, labels, patients, 0.3, HOW, 0, flagged=0.1)
    value = dict(zip(found.names, found.value, strict=True))
    top = np.argsort(-p)[: round(0.1 * len(p))]
    assert value["auroc"] == pytest.approx(roc_auc_score(labels, p))
    assert value["auprc"] == pytest.approx(average_precision_score(labels, p))
    assert value["ppv_of_flagged"] == pytest.approx(labels[top].mean(), abs=0.01)
    assert value["sensitivity_of_flagged"] == pytest.approx(labels[top].sum() / labels.sum(), abs=0.01)
    brier = np.square(labels - p).sum() / np.square(labels - 0.3).sum()
    assert value["brier_skill"] == pytest.approx(1 - brier)
    assert value["calibration_in_the_large"] == pytest.approx(labels.mean() - p.mean())
    assert value["event_rate"] == pytest.approx(labels.mean())
    line = value["calibration_intercept"] + value["calibration_slope"] * logit(p)
    assert (labels - expit(line)).sum() == pytest.approx(0, abs=1e-6)  # the score equation of the intercept
    assert 0 < value["ece"] < 0.2


def test_intervals_cover_on_small_clustered_cohorts():
    truth = metrics.measure(*cohort(30_000, np.random.default_rng(1)), 0.3, HOW._replace(bootstrap=10), 0).value
    rng = np.random.default_rng(2)
    covered = np.zeros(len(metrics.METRICS))
    for seed in range(100):
        found = metrics.measure(*cohort(100, rng), 0.3, HOW, seed)
        low, high = np.quantile(found.drawn, [0.05, 0.95], axis=0)
        covered += (low <= truth) & (truth <= high)
    share = dict(zip(metrics.METRICS, covered / 100, strict=True))
    biased = share.pop("ece")  # its bootstrap is above it, as its docstring says
    assert biased < 0.8
    assert all(0.8 <= value <= 0.99 for value in share.values()), share


def test_a_difference_of_models_is_paired_and_nought_against_itself():
    p, labels, patients = cohort(150, np.random.default_rng(0))
    near = np.clip(p + 0.01 * np.random.default_rng(1).normal(size=len(p)), 0, 1)
    ours, theirs = (metrics.measure(made, labels, patients, 0.3, HOW, 4) for made in (p, near))
    itself = difference(ours, metrics.measure(p, labels, patients, 0.3, HOW, 4))
    assert not itself.value.any()
    assert not itself.drawn.any()
    apart = difference(ours, theirs).estimate("auroc")
    expected = stats.patient_bootstrap(
        stats.auroc_difference(p, near, labels), patients, 200, 0.9, np.random.default_rng(4)
    )
    assert apart == pytest.approx(expected)
    table = metrics.differences_table(p, near, labels, patients, 0.3, HOW, 4)
    assert metrics.estimate_of(table, "auroc") == pytest.approx(expected)
    assert metrics.estimate_of(table, "event_rate")[:3] == (0, 0, 0)


def test_a_group_is_measured_on_its_own_rows():
    p, labels, patients = cohort(200, np.random.default_rng(0))
    half = np.where(patients % 2, "odd", "even")
    table = metrics.metrics_table(p, labels, patients, 0.3, HOW, 5, {"half": half, "none": np.full(len(p), "")})
    assert set(table["grouping"]) == {"all", "half"}
    assert len(table) == 3 * len(metrics.METRICS)
    odd = half == "odd"
    alone = metrics.measure(p[odd], labels[odd], patients[odd], 0.3, HOW, 5)
    for name in metrics.METRICS:
        assert metrics.estimate_of(table, name, "half", "odd") == pytest.approx(alone.estimate(name))
    positives = table[table["metric"] == "auroc"].set_index("group")["positives"]
    assert positives["odd"] + positives["even"] == positives["all"] == labels.sum()


def test_a_small_group_is_named_and_its_size_is_not():
    p, labels, patients = cohort(200, np.random.default_rng(0))
    few = np.where(patients < 4, "few", "many")
    one_class = np.where(labels == 0, "spared", "hit")
    table = metrics.metrics_table(p, labels, patients, 0.3, HOW, 5, {"size": few, "class": one_class})
    for grouping, group in (("size", "few"), ("class", "spared"), ("class", "hit")):
        rows = table[(table["grouping"] == grouping) & (table["group"] == group)]
        assert rows[["value", "low", "high", "n_rows", "n_patients", "positives"]].isna().to_numpy().all()
        with pytest.raises(stats.NotComputable, match="under 10 patients, or under 3 with or without the event"):
            metrics.estimate_of(table, "auroc", grouping, group)
    assert metrics.estimate_of(table, "auroc", "size", "many").n_patients == 196
    with pytest.raises(KeyError, match="no auroc of size = some"):
        metrics.estimate_of(table, "auroc", "size", "some")


def test_a_constant_prediction_has_chance_everywhere_and_no_line():
    _, labels, patients = cohort(200, np.random.default_rng(0))
    table = metrics.metrics_table(np.full(len(labels), 0.3), labels, patients, 0.3, HOW, 0)
    assert metrics.estimate_of(table, "auroc")[:3] == (0.5, 0.5, 0.5)
    assert metrics.estimate_of(table, "brier_skill")[:3] == (0, 0, 0)
    rate = metrics.estimate_of(table, "event_rate")
    for name in ("auprc", "ppv_of_flagged"):
        assert metrics.estimate_of(table, name) == pytest.approx(rate)
    with pytest.raises(stats.NotComputable, match="calibration_slope is undefined"):
        metrics.estimate_of(table, "calibration_slope")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda p, y, i: (p, np.where(i == 0, np.nan, y), i), ValueError, "labels are missing or not 0 or 1"),
        (lambda p, y, i: (p, 2 * y, i), ValueError, "labels are missing or not 0 or 1"),
        (lambda p, y, i: (logit(p), y, i), ValueError, "probabilities are missing or not between 0 and 1"),
        (lambda p, y, i: (p[1:], y, i), ValueError, r"\d+ probabilities, \d+ labels, \d+ patients' rows"),
        (lambda p, y, i: (p, 0 * y, i), stats.NotComputable, "patients with the label: 0, 3 needed"),
        (lambda p, y, i: (p, y, i % 4), stats.NotComputable, "4 patients, 10 needed"),
    ],
)
def test_what_cannot_be_measured_is_said(change, error, message):
    with pytest.raises(error, match=message):
        metrics.measure(*change(*cohort(200, np.random.default_rng(0))), 0.3, HOW, 0)


def test_two_patients_make_a_table_of_reasons():
    p, labels, patients = cohort(2, np.random.default_rng(0))
    table = metrics.metrics_table(p, labels, patients, 0.3, HOW, 0)
    assert (table["reason"] != "").all()
    assert table["metric"].tolist() == list(metrics.METRICS)
