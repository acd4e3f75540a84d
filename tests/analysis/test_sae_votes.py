"""Votes: by hand, on a planted dictionary with features that are none, and on noise."""

from __future__ import annotations

import numpy as np
import pytest

from jepascope.analysis import sae
from jepascope.analysis.sae import matching, votes

VOTING = sae.Settings(features=48, active=3, epochs=20, batch_rows=128, learning_rate=1e-2)


@pytest.fixture(scope="module")
def planted():
    """3-sparse sums of 24 directions in 20 dimensions, 4 rows a patient, and noise that surplus features can fit."""
    rng = np.random.default_rng(0)
    atoms = matching.unit_rows(rng.normal(size=(24, 20)))
    f = np.zeros((4000, 24))
    for row in f:
        row[rng.choice(24, 3, replace=False)] = rng.uniform(1, 2, 3)
    x = (f @ atoms + 0.1 * rng.normal(size=(4000, 20))).astype(np.float32)
    return x, atoms, np.repeat(np.arange(1000), 4)


@pytest.fixture(scope="module")
def consensus(planted):
    x, _, patients = planted
    return votes.consensus(x, votes.halves(patients, np.random.default_rng(0)), VOTING, seed=0)


def axes(*which):
    return np.eye(4)[list(which)]


def test_votes_are_counted_by_hand():
    found = votes.ballot([axes(0, 1, 2), axes(1, 0), axes(3, 0)], [axes(0, 3), axes(0, 1)])
    assert found.counts.tolist() == [2, 1, 0]
    assert (found.voters, found.checkers) == (2, 2)
    assert found.elsewhere.tolist() == [2, 1, 0]


def test_two_features_on_one_direction_share_one_vote():
    twins = np.array([[1, 0, 0, 0], [1, 0.01, 0, 0]])
    assert sorted(votes.holders(twins, [axes(0, 1)])) == [0, 1]


def test_a_feature_without_a_partner_has_none_and_the_sign_counts():
    assert matching.matched_cosines(axes(0, 1), axes(1)).tolist() == [-1, 1]
    assert votes.holders(axes(0), [-axes(0)]).tolist() == [0]


def test_a_vote_is_worth_the_share_that_came_back_and_never_less_than_a_smaller_vote():
    counts, elsewhere = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 2, 4, 2, 2])
    worth = votes.calibrate([votes.Ballot(counts, 2, elsewhere, 4)])
    # One vote came back in 6 of 8, two in 4 of 8: pooled, 10 of 16.
    assert worth == pytest.approx([0, 10 / 16, 10 / 16])


def test_halves_are_of_patients():
    patients = np.repeat(np.arange(101), 3)
    half = votes.halves(patients, np.random.default_rng(0))
    assert not np.intersect1d(patients[half], patients[~half]).size
    assert abs(len(np.unique(patients[half])) - 50.5) < 1


def test_the_vote_keeps_planted_features_and_drops_the_surplus(planted, consensus):
    atoms = planted[1]
    W_dec = consensus.reference.W_dec
    true = matching.matched_cosines(W_dec, atoms) > 0.9
    kept = consensus.kept
    precision, recall = (true & kept).sum() / kept.sum(), (true & kept).sum() / len(atoms)
    assert precision > 0.8 > 0.6 > true.sum() / consensus.alive.sum()
    assert recall > 0.9
    assert consensus.reappearing > 0.8  # the bar for reproducible features; 0.88 here
    assert consensus.reappearing > consensus.reappearing_of_all + 0.2


def test_reappearing_is_as_probable_as_the_votes_say(consensus):
    shares = consensus.elsewhere / consensus.checkers
    for low, high in ((0.0, 0.5), (0.5, 1.01)):
        these = consensus.alive & (consensus.reappears >= low) & (consensus.reappears < high)
        assert shares[these].mean() == pytest.approx(consensus.reappears[these].mean(), abs=0.15)
    by_vote = [consensus.reappears[consensus.alive & (consensus.counts == v)] for v in np.unique(consensus.counts)]
    assert all(np.ptp(level) == 0 for level in by_vote if len(level))
    assert (np.diff([level[0] for level in by_vote if len(level)]) >= 0).all()


def test_what_a_vote_is_worth_is_learnt_from_features_of_the_other_half(monkeypatch):
    """Were it learnt from the features that are voted on, `elsewhere` could not test it."""
    learnt = []
    calibrate = votes.calibrate
    monkeypatch.setattr(votes, "calibrate", lambda ballots: learnt.extend(ballots) or calibrate(ballots))
    x, half = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32), np.arange(300) < 150
    small = VOTING._replace(features=8, active=2, epochs=1, voters=3)
    found = votes.consensus(x, half, small, seed=0, same=0.9)
    fits = [sae.fit_many(x[rows], small, seeds) for rows, seeds in ((half, range(3)), (~half, range(3, 6)))]
    here, there = ([d.W_dec[on] for d, on in zip(f, votes._living(f, x[rows]), strict=True)]
                   for f, rows in zip(fits, (half, ~half), strict=True))  # fmt: skip
    for reference, ballot in enumerate(learnt):
        expected = votes.ballot(there, here, reference, 0.9)
        assert np.array_equal(ballot.counts, expected.counts)
        assert np.array_equal(ballot.elsewhere, expected.elsewhere)
    assert len(learnt) == len(there)
    assert np.array_equal(found.counts[found.alive], votes.ballot(here, there, same=0.9).counts)
    assert not np.array_equal(learnt[0].counts, found.counts[found.alive])


def test_what_is_kept_was_voted_for_and_is_the_reference_fits_own(planted, consensus):
    x, _, patients = planted
    half = votes.halves(patients, np.random.default_rng(0))
    assert np.array_equal(consensus.kept, consensus.alive & (consensus.counts >= 0.6 * 4))
    assert np.array_equal(consensus.reference.W_dec, sae.fit_many(x[half], VOTING, range(5))[0].W_dec)


def test_nothing_that_the_other_half_says_moves_the_votes(planted, consensus):
    x, _, patients = planted
    half = votes.halves(patients, np.random.default_rng(0))
    scrambled = x.copy()
    scrambled[~half] = np.random.default_rng(1).normal(size=scrambled[~half].shape)
    other = votes.consensus(scrambled, half, VOTING, seed=0)
    assert np.array_equal(other.counts, consensus.counts)
    assert np.array_equal(other.kept, consensus.kept)
    assert not np.array_equal(other.elsewhere, consensus.elsewhere)


def test_nothing_is_kept_in_noise(planted):
    wide = np.random.default_rng(0).normal(size=(2000, 32)) * np.geomspace(2, 0.5, 32)
    first, second = (votes.noise_round(wide.astype(np.float32), VOTING, seed) for seed in (0, 50))
    bar = votes.safe_bar(first, VOTING.keep)
    assert matching.SAME < bar < 0.9  # two of the five fits have a feature that passes the usual cosine
    assert not first.kept(VOTING.keep, bar).any()
    assert second.kept(VOTING.keep, bar).mean() < 0.01 * VOTING.features


def turned(cosine):
    """Two axes, the second of them turned until it has this cosine with what it was."""
    return np.array([[1, 0, 0, 0], [0, cosine, np.sqrt(1 - cosine**2), 0]])


def test_every_fit_is_the_reference_once():
    found = votes.compare_all([axes(0, 1, 2), axes(1, 0), axes(3, 0)])
    assert found.kept(keep=1.0, same=0.7).tolist() == [1, 1, 1]
    assert found.kept(keep=0.5, same=0.7).tolist() == [2, 2, 1]
    assert [(a.matched, a.features) for a in found.agreements(0.7)] == [(2, 2), (1, 2), (1, 2)]


def test_the_bar_rises_until_noise_keeps_nothing_and_not_further():
    apart = votes.compare_all([axes(0, 1), axes(2, 3)])
    assert votes.safe_bar(apart, keep=0.6) == matching.SAME
    near = [np.array([[1, 0, 0, 0]]), np.array([[0.82, np.sqrt(1 - 0.82**2), 0, 0]])]
    assert votes.safe_bar(votes.compare_all(near), keep=0.6) == 0.85
    assert votes.safe_bar(votes.compare_all([axes(0)] * 2), keep=0.6) == 1.0


def test_drawn_rows_are_those_of_whole_patients_and_as_many_as_before():
    patients = np.repeat(np.arange(30), np.arange(30) % 4 + 1)
    rows = votes.drawn_rows(patients, 5, np.random.default_rng(0))
    assert rows.shape == (5, len(patients))
    assert len({tuple(draw) for draw in rows}) == 5
    for draw in rows:
        times = np.bincount(draw, minlength=len(patients))
        cut = patients[draw[-1]]  # the last patient drawn may lack her last rows
        assert all(np.ptp(times[patients == p]) == 0 for p in set(patients) - {cut})
        assert times.max() > 1


def test_a_fit_to_drawn_rows_sees_these_alone(planted):
    x = planted[0][:600]
    short = VOTING._replace(epochs=2)
    everything = np.arange(600)[None]
    assert np.array_equal(sae.fit_many(x, short, [3], rows=everything)[0].W_dec, sae.fit_many(x, short, [3])[0].W_dec)
    first = np.tile(np.arange(300), 2)[None]
    swapped = x.copy()
    swapped[300:] = -x[300:][::-1]
    # Means and scales are of all rows, so they have to agree.
    swapped[300:] += x[300:].mean(axis=0) - swapped[300:].mean(axis=0)
    ours, theirs = (sae.fit_many(y, short, [3], rows=first)[0] for y in (x, swapped))
    assert ours.W_dec == pytest.approx(theirs.W_dec, abs=0.02)
    assert not np.allclose(ours.W_dec, sae.fit_many(x, short, [3])[0].W_dec, atol=0.02)


def test_an_encoder_for_the_kept_atoms_leaves_them_as_they_are(planted, consensus):
    x, _, patients = planted
    half = votes.halves(patients, np.random.default_rng(0))
    atoms = consensus.reference.W_dec[consensus.kept]
    refit = votes.on_atoms(x[half], atoms, VOTING, seed=0)
    assert refit.W_dec == pytest.approx(atoms, abs=1e-6)
    unexplained = [
        np.square(x - sae.decode(d, sae.densify(sae.encode(d, x))))[~half].mean() / x[~half].var(axis=0).mean()
        for d in (consensus.reference, refit)
    ]
    assert unexplained[1] < unexplained[0] + 0.05
    with pytest.raises(ValueError, match="1 atoms"):
        votes.on_atoms(x, atoms[:1], VOTING, seed=0)
