"""The patient-exact statistics, against closed forms, scikit-learn, and cohorts where the truth is planted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jepascope.analysis.inference import stats


def clustered(rng, n_patients, low=1, high=8):
    """Patients with 1..7 rows each, as row-wise patient ids."""
    return np.repeat(np.arange(n_patients), rng.integers(low, high, n_patients))


def test_bootstrap_of_a_mean_equals_the_closed_form():
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)  # one row a patient: SE = sd / sqrt(B)
    se = x.std() / np.sqrt(len(x))
    by_weights = stats.patient_bootstrap(
        lambda w: (w @ x) / w.sum(axis=1), np.arange(400), 8000, 0.95, np.random.default_rng(1)
    )
    by_sums = stats.bootstrap_mean(x, np.arange(400), 8000, 0.95, np.random.default_rng(2))
    for estimate in (by_weights, by_sums):
        assert estimate.value == pytest.approx(x.mean())
        assert estimate.low == pytest.approx(x.mean() - 1.96 * se, abs=0.12 * se)
        assert estimate.high == pytest.approx(x.mean() + 1.96 * se, abs=0.12 * se)
        assert (estimate.n_rows, estimate.n_patients) == (400, 400)


def test_sums_and_weights_give_the_same_draws():
    rng = np.random.default_rng(0)
    patients = clustered(rng, 60)
    x, y = rng.normal(size=(2, len(patients)))
    by_weights = stats.patient_bootstrap(
        lambda w: 1 - (w @ x**2) / (w @ y**2), patients, 300, 0.9, np.random.default_rng(3)
    )
    by_sums = stats.bootstrap_of_sums(
        lambda s: 1 - s[:, 0] / s[:, 1], np.stack([x**2, y**2], 1), patients, 300, 0.9, np.random.default_rng(3)
    )
    assert by_weights == pytest.approx(by_sums)


def test_bootstrap_does_not_depend_on_the_order_of_rows_or_the_chunk_size(monkeypatch):
    rng = np.random.default_rng(0)
    patients = clustered(rng, 50)
    x = rng.normal(size=len(patients))
    shuffled = rng.permutation(len(x))
    here = stats.bootstrap_mean(x, patients, 200, 0.95, np.random.default_rng(1))
    there = stats.bootstrap_mean(x[shuffled], patients[shuffled], 200, 0.95, np.random.default_rng(1))
    assert here == pytest.approx(there)
    y = x[shuffled]
    weighted = stats.patient_bootstrap(
        lambda w: (w @ y) / w.sum(axis=1), patients[shuffled], 200, 0.95, np.random.default_rng(1)
    )
    assert weighted == pytest.approx(here)
    mean = lambda w: (w @ x) / w.sum(axis=1)  # noqa: E731
    whole = stats.patient_bootstrap(mean, patients, 200, 0.95, np.random.default_rng(1))
    monkeypatch.setattr(stats, "CHUNK_CELLS", 3 * len(x))
    assert stats.patient_bootstrap(mean, patients, 200, 0.95, np.random.default_rng(1)) == pytest.approx(whole)


def test_weighted_auroc_equals_scikit_learn_with_ties_and_weights():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 12, 500).astype(float)  # many ties
    labels = rng.random(500) < 0.2
    weights = rng.integers(0, 4, (6, 500)).astype(float)
    ours = stats.weighted_auroc(scores, labels)(weights)
    theirs = [roc_auc_score(labels, scores, sample_weight=w) for w in weights]
    assert ours == pytest.approx(theirs)
    assert stats.auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


def test_correlation_equals_numpys_and_its_interval_is_fishers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=800) + 50
    y = x + rng.normal(size=800)
    estimate = stats.bootstrap_correlation(x, y, np.arange(800), 4000, 0.95, rng)
    assert estimate.value == pytest.approx(np.corrcoef(x, y)[0, 1])
    fisher = np.tanh(np.arctanh(estimate.value) + np.array([-1.96, 1.96]) / np.sqrt(797))
    assert estimate[1:3] == pytest.approx(fisher, abs=0.01)
    patients = np.arange(800) // 20
    draws = stats.bootstrap_counts(40, 200, np.random.default_rng(1))[:, patients].astype(int)
    x = x - 3 * y
    each = [np.cov(x, y, fweights=w) for w in draws]
    each = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in each]
    grouped = stats.bootstrap_correlation(x, y, patients, 200, 0.95, np.random.default_rng(1))
    assert grouped[1:3] == pytest.approx(np.quantile(each, [0.025, 0.975]))
    with pytest.raises(stats.NotComputable, match="undefined on these 800 rows"):
        stats.bootstrap_correlation(x, np.ones(800), np.arange(800), 50, 0.95, rng)


def test_auroc_difference_is_paired():
    rng = np.random.default_rng(0)
    patients = clustered(rng, 100)
    labels = rng.random(len(patients)) < 0.3
    scores = labels + rng.normal(size=len(patients))
    draw = np.random.default_rng
    same = stats.patient_bootstrap(stats.auroc_difference(scores, scores, labels), patients, 100, 0.95, draw(1))
    assert (same.value, same.low, same.high) == (0, 0, 0)
    near = stats.patient_bootstrap(
        stats.auroc_difference(scores, scores + 0.1 * rng.normal(size=len(scores)), labels),
        patients,
        300,
        0.95,
        draw(1),
    )
    alone = stats.patient_bootstrap(stats.weighted_auroc(scores, labels), patients, 300, 0.95, draw(1))
    assert near.high - near.low < 0.5 * (alone.high - alone.low)


def test_interval_covers_on_clustered_data_where_the_row_bootstrap_undercovers():
    rng = np.random.default_rng(0)
    covered = {"patients": 0, "rows": 0}
    for _ in range(200):
        patients = np.repeat(np.arange(60), 8)
        x = rng.normal(size=60)[patients] + 0.5 * rng.normal(size=480)  # true mean 0
        for name, unit in (("patients", patients), ("rows", np.arange(480))):
            estimate = stats.bootstrap_mean(x, unit, 300, 0.9, rng)
            covered[name] += estimate.low <= 0 <= estimate.high
    assert 0.83 <= covered["patients"] / 200 <= 0.97
    assert covered["rows"] / 200 < 0.65


def test_permutation_is_calibrated_on_a_patient_effect_where_the_row_permutation_is_not():
    rng = np.random.default_rng(0)
    rejected = {"patients": 0, "rows": 0}
    for _ in range(150):
        patients = clustered(rng, 80)
        effect, propensity = rng.normal(size=(2, 80))  # independent: nothing to find
        scores = effect[patients] + 0.3 * rng.normal(size=len(patients))
        labels = propensity[patients] + 0.3 * rng.normal(size=len(patients)) > 0.5
        for name, unit in (("patients", patients), ("rows", np.arange(len(patients)))):
            null = stats.patient_permutation(stats.permuted_auroc(scores, labels), unit, 99, rng)
            rejected[name] += null.p <= 0.1
    assert rejected["patients"] / 150 <= 0.17
    assert rejected["rows"] / 150 > 0.2


def test_permutation_finds_a_planted_effect():
    rng = np.random.default_rng(0)
    patients = clustered(rng, 100)
    labels = rng.random(len(patients)) < 0.3
    null = stats.patient_permutation(
        stats.permuted_auroc(labels + rng.normal(size=len(labels)), labels), patients, 199, rng
    )
    assert null.p == pytest.approx(1 / 200)
    assert null.value == pytest.approx(0.5, abs=0.02)


def test_permuted_rows_keep_each_donors_sequence_in_order():
    patients = np.array([7, 7, 7, 3, 3, 3, 5, 5])
    lengths = {7: 3, 3: 3, 5: 2}
    for rows in stats.permuted_rows(patients, 50, np.random.default_rng(0)):
        for patient in (7, 3, 5):
            got = rows[patients == patient]
            donor = patients[got[0]]
            first = np.flatnonzero(patients == donor)[0]
            assert list(got - first) == [j % lengths[donor] for j in range(lengths[patient])]


def test_every_patient_gives_her_labels_exactly_once_and_keeps_none():
    for n_patients in (2, 19, 20, 45):
        patients = np.repeat(np.arange(n_patients), 3)
        for rows in stats.permuted_rows(patients, 20, np.random.default_rng(0)):
            assert sorted(rows) == list(range(3 * n_patients))
            assert (patients[rows] != patients).all()


def test_donors_have_records_of_like_length():
    lengths = np.repeat([1, 5, 9], 40)
    patients = np.random.default_rng(0).permutation(120).repeat(lengths)
    for rows in stats.permuted_rows(patients, 5, np.random.default_rng(1)):
        assert (lengths.repeat(lengths)[rows] == lengths.repeat(lengths)).all()


def test_no_patient_is_in_two_folds():
    rng = np.random.default_rng(0)
    patients = clustered(rng, 53)
    fold = stats.grouped_folds(patients, 5, rng)
    assert all(len(set(fold[patients == p])) == 1 for p in np.unique(patients))
    sizes = [len(set(patients[fold == f])) for f in range(5)]
    assert max(sizes) - min(sizes) <= 1


def test_q_values_by_hand_and_untested_stay_out():
    q = stats.q_values(np.array([0.01, np.nan, 0.04, 0.03]))
    assert q[[0, 2, 3]] == pytest.approx([0.03, 0.04, 0.04])  # 0.01*3/1, 0.04*3/3, min(0.03*3/2, 0.04)
    assert np.isnan(q[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: stats.bootstrap_mean(np.ones(6), np.ones(6), 50, 0.95, r), "1 patients, 2 needed"),
        (lambda r: stats.bootstrap_mean(np.ones(6), np.arange(6) % 3, 50, 0.95, r, 20), "3 patients, 20 needed"),
        (lambda r: stats.weighted_auroc(np.arange(5.0), np.zeros(5)), "0 positive and 5 negative"),
        (lambda r: stats.require_carriers(np.eye(1, 9)[0], np.arange(9), 3), "patients with the label: 1, 3 needed"),
        (lambda r: stats.grouped_folds(np.arange(3), 5, r), "3 patients, 5 needed"),
        (lambda r: stats.patient_permutation(lambda rows: rows[:, 0], np.ones(5), 20, r), "1 patients, 2 needed"),
    ],
)
def test_too_little_data_says_what_there_is_and_what_it_takes(call, message):
    with pytest.raises(stats.NotComputable, match=message):
        call(np.random.default_rng(0))


def test_a_label_of_one_patient_has_no_interval():
    labels = np.eye(1, 40)[0]
    with pytest.raises(stats.NotComputable, match="undefined in"):
        stats.patient_bootstrap(
            stats.weighted_auroc(np.arange(40.0), labels), np.arange(40), 200, 0.95, np.random.default_rng(0)
        )
