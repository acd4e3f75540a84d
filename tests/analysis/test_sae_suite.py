"""Dictionaries against concepts: by hand, against other ways to compute the same, and leaks."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import sae
from jepascope.analysis.inference.stats import Inference, NotComputable, auroc
from jepascope.analysis.probes.linear import fit_probe, probe_scores
from jepascope.analysis.sae import labels, metrics, structure, suite
from jepascope.analysis.sae.suite import Concepts

HOW = Inference(bootstrap=100, permutations=60, min_patients=2)
N = 1200
PATIENTS = np.repeat(np.arange(N // 2), 2)
TRAIN = PATIENTS % 2 == 0
SETTINGS = sae.Settings(features=16, active=2, epochs=25, batch_rows=64, learning_rate=1e-2)


@pytest.fixture(scope="module")
def planted():
    """Two concepts on directions of their own among eight, and a third that is nowhere."""
    rng = np.random.default_rng(0)
    f = rng.uniform(1, 2, (N, 8)) * (rng.random((N, 8)) < 0.12)
    x = (f @ np.linalg.qr(rng.normal(size=(10, 8)))[0].T + 0.05 * rng.normal(size=(N, 10))).astype(np.float32)
    nowhere = rng.random(N) < 0.3
    concepts = Concepts(np.stack([f[:, 0] > 0, f[:, 1] > 0, nowhere], axis=1), PATIENTS, TRAIN, ~TRAIN)
    return x, concepts, sae.fit(x[TRAIN], SETTINGS, 0)


@pytest.fixture(scope="module")
def reading(planted):
    x, concepts, dictionary = planted
    rng = np.random.default_rng(0)
    return suite.read_concepts(dictionary, x, concepts, suite.readers(x, concepts, HOW, rng), HOW, rng)


def test_a_concept_with_a_direction_is_read_from_one_feature_and_one_without_from_none(planted):
    x, concepts, dictionary = planted
    f = sae.densify(sae.encode(dictionary, x))
    scores = suite.sparse_scores(f, concepts, 1, HOW, np.random.default_rng(0))
    truth = concepts.labels[~TRAIN]
    each = [auroc(s, y) for s, y in zip(scores.T, truth.T, strict=True)]
    assert min(each[:2]) > 0.8
    assert each[2] == pytest.approx(0.5, abs=0.08)


def test_the_mean_over_concepts_is_that_of_single_sparse_probes(planted, reading):
    x, concepts, dictionary = planted
    f = sae.densify(sae.encode(dictionary, x))
    single = []
    for y in concepts.labels.T:
        seen = f[:, metrics.ranked_features(f[TRAIN], y[TRAIN])[:5]]
        probe = fit_probe(seen, y, PATIENTS, TRAIN, HOW, np.random.default_rng(0), (metrics.PROBE_PENALTY,))
        single.append(auroc(probe_scores(probe, seen[~TRAIN]), y[~TRAIN]))
    assert reading.auroc[5].value == pytest.approx(np.mean(single))
    assert reading.auroc[5].n_patients == len(np.unique(PATIENTS[~TRAIN]))
    assert list(reading.auroc) == [1, 5, 16]


def test_purity_is_mean_correlation_and_entropy_with_labels_chosen_on_train(planted, reading):
    x, concepts, dictionary = planted
    f = sae.densify(sae.encode(dictionary, x)).astype(float)
    f = f[:, np.ptp(f[TRAIN], axis=0) > 0]
    own = labels.label_entropy(f[TRAIN], concepts.labels[TRAIN])
    y = concepts.labels[~TRAIN].astype(float)
    moving = [j for j in range(f.shape[1]) if np.ptp(f[~TRAIN][:, j]) > 0]
    r = [np.corrcoef(f[~TRAIN][:, j], y[:, own.label[j]])[0, 1] * np.sign(own.r[j]) for j in moving]
    assert reading.label_r.value == pytest.approx(np.sum(r) / f.shape[1], abs=1e-6)
    entropy = labels.label_entropy(f[~TRAIN], concepts.labels[~TRAIN]).entropy
    assert reading.entropy.value == pytest.approx(np.nanmean(entropy))
    assert reading.entropy_expected == pytest.approx(labels.label_entropy(f[~TRAIN], y).expected)


def test_absorption_over_concepts_weighs_them_by_the_rows_that_show_them(planted):
    x, concepts, _ = planted
    dictionary = sae.fit(x[TRAIN], SETTINGS._replace(features=40, active=1), 0)  # features that split and stand in
    f = sae.densify(sae.encode(dictionary, x))

    def absorbed(chosen):
        some = concepts._replace(labels=concepts.labels[:, chosen])
        readers = suite.readers(x, some, HOW, np.random.default_rng(0))
        shown = [(y & (probe_scores(r, x) > 0))[~TRAIN].sum() for y, r in zip(some.labels.T, readers, strict=True)]
        return suite.absorption(dictionary, f, x, some, readers, HOW, np.random.default_rng(0)).value, shown

    (both, shown), (one, _), (other, _) = absorbed([0, 1]), absorbed([0]), absorbed([1])
    assert min(one, other) > 0
    assert both == pytest.approx((one * shown[0] + other * shown[1]) / sum(shown))


def test_labels_of_test_patients_choose_and_fit_nothing(planted):
    x, concepts, dictionary = planted
    f = sae.densify(sae.encode(dictionary, x))
    scrambled = concepts.labels.copy()
    scrambled[~TRAIN] = ~scrambled[~TRAIN]
    ours, theirs = (
        suite.sparse_scores(f, concepts._replace(labels=y), 5, HOW, np.random.default_rng(0))
        for y in (concepts.labels, scrambled)
    )
    assert np.array_equal(ours, theirs)


def test_labels_that_too_few_carry_are_left_out(planted):
    concepts = planted[1]
    rare = np.zeros(N, bool)
    rare[:3] = True
    more = concepts._replace(labels=np.column_stack([concepts.labels, rare]))
    assert suite.computable(more, HOW).labels.shape == (N, 3)
    with pytest.raises(NotComputable, match="1 labels"):
        suite.computable(concepts._replace(labels=np.stack([rare, concepts.labels[:, 0]], axis=1)), HOW)


def test_a_difference_in_unexplained_variance_is_that_of_the_two_alone(planted):
    x, _, dictionary = planted
    other = sae.fit(x[TRAIN], SETTINGS._replace(features=4), 1)
    test = x[~TRAIN], PATIENTS[~TRAIN], HOW
    alone = [metrics.quality(d, *test, np.random.default_rng(0)).fvu.value for d in (dictionary, other)]
    found = metrics.fvu_difference(dictionary, other, *test, np.random.default_rng(0))
    assert found.value == pytest.approx(alone[1] - alone[0])
    assert found.low > 0
    same = metrics.fvu_difference(dictionary, dictionary, *test, np.random.default_rng(0))
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_stitched_changes_are_those_of_the_groups(planted):
    x, _, _ = planted
    small, large = (sae.fit(x[TRAIN], SETTINGS._replace(features=F), 0) for F in (6, 16))
    found = structure.stitch(small, large, x[~TRAIN])
    novel, known = structure.stitched(small, large, x[~TRAIN], PATIENTS[~TRAIN], HOW, np.random.default_rng(0))
    assert novel.value == pytest.approx(found.fvu_with_novel - found.fvu, abs=1e-4)
    assert known.value == pytest.approx(found.fvu_with_known - found.fvu, abs=1e-4)
