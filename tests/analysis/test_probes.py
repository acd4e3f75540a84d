"""Linear probes: equal to scikit-learn's, blind to test patients, and quiet where nothing is planted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from jepascope.analysis.inference.stats import Inference, NotComputable, auroc
from jepascope.analysis.probes import linear as probes
from jepascope.analysis.probes import logistic

HOW = Inference(bootstrap=200, permutations=100, folds=3)


def cohort(n_patients=240, rows=6, dims=8, seed=0):
    """X carries a patient effect; `read` is a linear function of X, `none` a patient effect X knows nothing of."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), rows)
    X = rng.normal(size=(n_patients, dims))[patients] + rng.normal(size=(len(patients), dims))
    targets = {
        "read": X[:, 0] + X[:, 1] + rng.normal(size=len(patients)) > 1.5,
        "none": rng.normal(size=n_patients)[patients] + 0.3 * rng.normal(size=len(patients)) > 0.7,
    }
    test = patients % 3 == 0
    return X, targets, patients, ~test, test


def test_newton_equals_scikit_learn():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(800, 10)), np.ones((800, 1))])
    y = (X @ rng.normal(size=11) + rng.logistic(size=800) > 2).astype(float)
    for penalty in (1.0, 30.0, 1000.0):
        theirs = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=2000).fit(X[:, :-1], y)
        ours = logistic.logistic_ridge(X, y, penalty)
        assert ours[:-1] == pytest.approx(theirs.coef_[0], abs=1e-3)
        assert ours[-1] == pytest.approx(theirs.intercept_[0], abs=1e-3)


def test_a_bad_start_is_mended_by_step_halving():
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(400, 5)), np.ones((400, 1))])
    y = (X[:, 0] + rng.logistic(size=400) > 0).astype(float)
    far = np.array([-4.0, 3, 3, -3, 3, 2])
    assert logistic.logistic_ridge(X, y, 0.1, far) == pytest.approx(logistic.logistic_ridge(X, y, 0.1), abs=1e-3)


def test_separable_data_converge():
    X = np.hstack([np.linspace(-1, 1, 60)[:, None] * 1e3, np.ones((60, 1))])
    beta = logistic.logistic_ridge(X, (X[:, 0] > 0).astype(float), 1e-3)
    assert np.isfinite(beta).all()
    assert auroc(X @ beta, X[:, 0] > 0) == 1


def fold_edges(y, folds):
    edges = np.linspace(0, len(y), folds + 1).astype(int)
    return edges, [np.r_[: edges[f], edges[f + 1] : len(y)] for f in range(folds)]


@pytest.mark.parametrize("penalty", [1000.0, 1.0])
def test_fits_that_leave_out_a_fold_equal_separate_ones(penalty):
    rng = np.random.default_rng(0)
    X = np.hstack([rng.normal(size=(900, 10)), np.ones((900, 1))]).astype(np.float32)
    y = (X @ rng.normal(size=11) + rng.logistic(size=900) > 2).astype(np.float32)
    edges, kept = fold_edges(y, 5)
    start = logistic.logistic_ridge(X, y, penalty)
    beta, fitted = logistic.held_out_fits(X, y, penalty, edges, start)
    assert fitted.all()
    for f, rows in enumerate(kept):
        assert beta[:, f] == pytest.approx(logistic.logistic_ridge(X[rows], y[rows], penalty), abs=2e-3)


def test_a_fold_that_moves_the_optimum_far_is_fitted_by_itself():
    rng = np.random.default_rng(1)
    X = np.hstack([rng.normal(size=(60, 30)), np.ones((60, 1))]).astype(np.float32)
    y = (rng.random(60) < 0.4).astype(np.float32)  # nothing to read, and nearly as many weights as rows
    edges, kept = fold_edges(y, 3)
    beta, _ = logistic.held_out_fits(X, y, 0.01, edges, logistic.logistic_ridge(X, y, 0.01))
    for f, rows in enumerate(kept):
        alone = logistic.logistic_ridge(X[rows], y[rows], 0.01)
        assert X[rows] @ beta[:, f] == pytest.approx(X[rows] @ alone, abs=0.05 * np.abs(X[rows] @ alone).max())


def test_a_fold_that_holds_all_carriers_has_no_fit():
    X = np.hstack([np.random.default_rng(0).normal(size=(90, 3)), np.ones((90, 1))]).astype(np.float32)
    y = (np.arange(90) < 20).astype(np.float32)
    edges, _ = fold_edges(y, 3)
    assert logistic.held_out_fits(X, y, 1.0, edges, logistic.logistic_ridge(X, y, 1.0))[1].tolist() == [
        False,
        True,
        True,
    ]


def test_a_fold_without_a_fit_has_no_say_in_the_penalty():
    rng = np.random.default_rng(0)
    fold = np.repeat([0, 1, 2], 60)
    y = ((fold == 0) & (np.arange(180) % 3 > 0)).astype(np.float32)  # all carriers in one fold
    X = np.hstack([rng.normal(size=(180, 6)) + np.outer(y, [3, 0, 0, 0, 0, 0]), np.ones((180, 1))]).astype(np.float32)
    X[fold > 0, 0] += 3 * (rng.random(120) < 0.3)
    starts = {penalty: logistic.logistic_ridge(X, y, penalty) for penalty in probes.PENALTIES}

    def left(penalty, f):
        beta = logistic.logistic_ridge(X[fold != f], y[fold != f], penalty) if f else starts[penalty]
        return (np.logaddexp(0, X[fold == f] @ beta) - y[fold == f] * (X[fold == f] @ beta)).sum()

    best, flattered = (min(starts, key=lambda p: sum(left(p, f) for f in folds)) for folds in ((1, 2), (0, 1, 2)))
    assert best != flattered
    assert logistic.choose_penalty(X, y, fold, starts) == best


def test_a_planted_direction_is_read_and_an_unrelated_patient_effect_is_not():
    X, targets, patients, train, test = cohort()
    found = probes.probe_table({"z": X}, targets, patients, train, test, HOW, np.random.default_rng(0)).table
    read, none = (found.set_index("target").loc[name] for name in ("read", "none"))
    assert read["low"] > 0.8
    assert read["selectivity"] > 0.3
    assert read["p"] == pytest.approx(1 / 101)
    assert read["null_high"] < read["low"]
    assert none["low"] < 0.5 < none["high"]
    assert none["p"] > 0.05
    w = probes.fit_probe(X, targets["read"], patients, train, HOW, np.random.default_rng(0)).w
    assert w[:2].sum() / np.sqrt(2) / np.linalg.norm(w) > 0.95


def test_the_probe_sees_no_test_patient():
    X, targets, patients, train, test = cohort()
    fitted = probes.fit_probe(X, targets["read"], patients, train, HOW, np.random.default_rng(0))
    X, y = X.copy(), targets["read"].copy()
    X[test], y[test] = 1e6, ~y[test]
    again = probes.fit_probe(X, y, patients, train, HOW, np.random.default_rng(0))
    assert np.array_equal(fitted.w, again.w)
    assert np.array_equal(fitted.scale, again.scale)
    with pytest.raises(ValueError, match="split by patient"):
        probes.probe_table({"z": X}, {"read": y}, patients, train, train, HOW, np.random.default_rng(0))


def test_the_penalty_is_stiff_where_dimensions_only_recognise_patients():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 10)
    X = rng.normal(size=(60, 40))[patients]  # a fingerprint
    y = rng.random(60)[patients] < 0.4  # constant in a patient: readable in training, and nothing to generalise
    train = np.ones(600, bool)
    assert probes.fit_probe(X, y, patients, train, HOW, np.random.default_rng(0)).penalty == max(probes.PENALTIES)


def test_the_table_keeps_what_could_not_be_computed_with_its_reason():
    X, targets, patients, train, test = cohort()
    targets = targets | {"rare": (patients == 0).astype(float)}
    found = probes.probe_table(
        {"z": X, "noise": X[::-1]}, targets, patients, train, test, HOW, np.random.default_rng(0)
    )
    table = found.table.set_index(["representation", "target"])
    assert table.loc[("z", "read"), "value"] > 0.8 > table.loc[("noise", "read"), "value"]
    assert np.isnan(table.loc[("z", "rare"), "value"])
    assert "patients with the label: 1, 5 needed" in table.loc[("z", "rare"), "reason"]
    assert np.isnan(found.scores["z"][:, 2]).all()
    for q, name in enumerate(("read", "none")):
        assert auroc(found.scores["z"][:, q], targets[name][test]) == table.loc[("z", name), "value"]
    assert table.loc[("z", "read"), "positives"] == targets["read"][test].sum()
    few = probes.probe_table(
        {"z": X}, targets, patients, train, test, HOW._replace(min_patients=500), np.random.default_rng(0)
    )
    assert (few.table["reason"] == "80 patients, 500 needed").all()
    with pytest.raises(ValueError, match="these don't"):
        probes.probe_table({"z": X[1:]}, targets, patients, train, test, HOW, np.random.default_rng(0))


def test_family_mean_is_the_mean_and_its_interval_is_joint():
    X, targets, patients, _, test = cohort()
    y = np.stack([targets["read"]] * 4, axis=1)[test]
    scores = np.repeat(X[test, :1], 4, axis=1)
    rng = np.random.default_rng
    four = probes.mean_auroc(scores, y, patients[test], HOW, rng(0))
    one = probes.mean_auroc(scores[:, :1], y[:, :1], patients[test], HOW, rng(0))
    assert four == pytest.approx(one)  # four copies of one target hold no more evidence than one
    mixed = np.stack([targets["read"], targets["none"]], axis=1)[test]
    both = probes.mean_auroc(scores[:, :2], mixed, patients[test], HOW, rng(0))
    assert both.value == pytest.approx(np.mean([auroc(scores[:, 0], mixed[:, q]) for q in (0, 1)]))
    null = probes.mean_auroc_null(scores[:, :2], mixed, patients[test], HOW, rng(0))
    assert null.low < 0.5 < null.high
    with pytest.raises(NotComputable, match="0 targets"):
        probes.mean_auroc(scores[:, :0], y[:, :0], patients[test], HOW, rng(0))


def test_a_difference_of_family_means_is_paired_and_its_null_is_centred_on_zero():
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(150), 3)
    labels = rng.random((450, 3)) < 0.3
    scores = labels + rng.normal(size=(450, 3))
    noisy = scores + 0.1 * rng.normal(size=scores.shape)
    found = probes.mean_auroc_difference(scores, noisy, labels, patients, HOW, np.random.default_rng(0))
    means = [probes.mean_auroc(s, labels, patients, HOW, np.random.default_rng(0)) for s in (scores, noisy)]
    assert found.value == pytest.approx(means[0].value - means[1].value)
    assert found.high - found.low < (means[0].high - means[0].low) / 2  # apart, the shared rows would count twice
    same = probes.mean_auroc_difference(scores, scores, labels, patients, HOW, np.random.default_rng(0))
    assert same[:3] == (0, 0, 0)
    other = rng.normal(size=scores.shape)
    null = probes.mean_auroc_difference_null(scores, other, labels, patients, HOW, np.random.default_rng(0))
    assert null.low < 0 < null.high
    assert abs(null.value) < 0.01
    assert null.p < 0.05
