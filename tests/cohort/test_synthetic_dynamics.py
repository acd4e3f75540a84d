"""Each planted dynamics does what its name says, and nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from jepascope.cohort.synthetic import dynamics, utilisation
from jepascope.cohort.synthetic.concepts import (
    COLUMN,
    CONCEPTS,
    Chronic,
    Cyclic,
    Drift,
    Driven,
    Episodic,
    LongMemory,
    Shock,
    kind,
)

STEPS = 10


@pytest.fixture(scope="module")
def lives() -> list[dynamics.State]:
    """6,000 patients over ten encounters, with nobody lost: the dynamics by itself. [STEPS] of State."""
    rng = np.random.default_rng(0)
    states = [dynamics.start(rng.uniform(20, 90, 6000), rng)]
    for _ in range(STEPS - 1):
        states.append(dynamics.step(states[-1], rng))
    return states


@pytest.fixture(scope="module")
def histories() -> utilisation.Histories:
    rng = np.random.default_rng(1)
    return utilisation.live(np.clip(rng.normal(60, 18, 12000), 18, 91), 0.0, rng)


def of_kind(*kinds: type) -> list:
    return [pytest.param(concept, id=concept.name) for concept in CONCEPTS if isinstance(concept.dynamics, kinds)]


def over_time(lives: list[dynamics.State], name: str) -> np.ndarray:
    return np.stack([state.on[:, COLUMN[name]] for state in lives])  # [STEPS, B]


def association(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation times the square root of n: standard normal when independent."""
    return float(np.corrcoef(x, y)[0, 1] * np.sqrt(len(x)))


def test_every_kind_of_dynamics_is_planted():
    kinds = [kind(concept.dynamics) for concept in CONCEPTS]
    assert set(kinds) == {"chronic", "episodic", "shock", "driven", "drift", "cyclic", "long_memory"}
    assert 32 <= len(CONCEPTS) <= 42


@pytest.mark.parametrize("concept", of_kind(Chronic))
def test_chronic_never_turns_off(lives, concept):
    on = over_time(lives, concept.name)
    assert not (on[:-1] & ~on[1:]).any()
    assert on[-1].mean() > on[0].mean() > 0


@pytest.mark.parametrize("concept", of_kind(Episodic))
def test_episodic_comes_and_goes_and_persists_more_than_chance(lives, concept):
    on = over_time(lives, concept.name)
    assert (on[:-1] & ~on[1:]).any()
    assert on[1:][on[:-1]].mean() > 1.5 * on.mean()


@pytest.mark.parametrize("concept", of_kind(Shock))
def test_shock_is_independent_of_the_past_the_patient_the_gap_the_length_and_the_severity(histories, concept):
    h = histories
    follows = np.flatnonzero(h.k > 0)
    shock = h.on[follows, COLUMN[concept.name]].astype(float)
    p = concept.dynamics.prevalence
    assert abs(shock.mean() - p) < 4 * np.sqrt(p * (1 - p) / len(shock))
    past = {name: h.on[follows - 1, c] for name, c in COLUMN.items()}
    now = {
        "gap": np.log1p(h.admit[follows] - h.discharge[follows - 1]),
        "length": np.log(h.discharge[follows] - h.admit[follows]),
        "severity": h.severity[follows],
        "frailty": h.frailty[follows],
        "k": h.k[follows],
        "turbulence": h.turbulence[follows],
        "risk": h.risk_30d[follows],
        "planned": h.planned[follows],
        "died": h.died[follows],
    }
    z = np.array([association(values.astype(float), shock) for values in (past | now).values()])
    # Fifty standard normals: their squares are 1 in the mean, and none is far out.
    assert np.abs(z).max() < 4
    assert (z**2).mean() < 2.0


@pytest.mark.parametrize("concept", of_kind(Driven))
def test_driven_follows_its_rule(lives, concept):
    on, rule = over_time(lives, concept.name), concept.dynamics
    holds = over_time(lives, rule.by)[:-1] & ~over_time(lives, rule.unless)[:-1]
    assert on[1:][holds].mean() == pytest.approx(rule.chance, abs=0.02)
    assert on[1:][~holds].mean() == pytest.approx(rule.noise, abs=0.004)
    # The first encounter obeys it too, so it can't be told by its prevalence.
    assert on[0].mean() > 0.3 * on[1].mean()


@pytest.mark.parametrize("concept", of_kind(LongMemory))
def test_long_memory_is_invisible_at_lag_one_and_visible_at_its_lag(lives, concept):
    on, (source, lag) = over_time(lives, concept.name), concept.dynamics[:2]
    shock = over_time(lives, source)
    assert on[lag:][shock[:-lag]].mean() == pytest.approx(concept.dynamics.chance, abs=0.03)
    assert on[lag:][~shock[:-lag]].mean() == pytest.approx(concept.dynamics.noise, abs=0.004)
    flat = np.concatenate([state.on for state in lives[lag - 1 : -1]])  # the encounter before, all concepts
    target = on[lag:].ravel().astype(float)
    z = np.array([association(flat[:, c].astype(float), target) for c in range(len(CONCEPTS))])
    assert np.abs(z).max() < 4
    assert (z**2).mean() < 2.0


@pytest.mark.parametrize("concept", of_kind(LongMemory))
def test_long_memory_is_as_common_before_its_lag_as_after(lives, concept):
    on = over_time(lives, concept.name).mean(axis=1)
    assert np.abs(on[: concept.dynamics.lag] - on[concept.dynamics.lag :].mean()).max() < 0.015


@pytest.mark.parametrize("concept", of_kind(Drift))
def test_drift_moves_slowly_with_its_velocity_and_is_on_above_its_threshold(lives, concept):
    level, velocity = (dynamics.LATENTS.index(f"{part}_{concept.name}") for part in ("level", "velocity"))
    for before, after in pairwise(lives):
        moved = after.latent[:, level] - before.latent[:, level]
        assert np.allclose(moved, after.latent[:, velocity], atol=1e-5)
        assert np.corrcoef(before.latent[:, velocity], moved)[0, 1] > 0.85
        on = after.on[:, COLUMN[concept.name]]
        assert np.array_equal(on, after.latent[:, level] > concept.dynamics.threshold)


@pytest.mark.parametrize("concept", of_kind(Cyclic))
def test_cyclic_returns_at_its_period_and_not_between(lives, concept):
    on, period = over_time(lives, concept.name), concept.dynamics.period
    parent = over_time(lives, concept.parent).all(axis=0) if concept.parent else np.ones(on.shape[1], bool)
    begun = (on[0] & parent).nonzero()[0]
    rates = on[:, begun].mean(axis=1)
    assert rates[period] > 0.7
    assert rates[1:period].max() < 0.1
    assert rates[2 * period] > 0.7


@pytest.mark.parametrize("concept", [pytest.param(c, id=c.name) for c in CONCEPTS if c.parent])
def test_a_child_is_on_only_with_its_parent(lives, concept):
    child, parent = over_time(lives, concept.name), over_time(lives, concept.parent)
    assert child.any()
    assert not (child & ~parent).any()


@pytest.mark.parametrize("concept", [pytest.param(c, id=c.name) for c in CONCEPTS if c.companion])
def test_companions_occur_together(lives, concept):
    concept_on, companion = over_time(lives, concept.name), over_time(lives, concept.companion[0])
    assert concept_on[companion].mean() > 1.5 * concept_on[~companion].mean()


def test_parents_and_companions_stand_above_their_dependants():
    for c, concept in enumerate(CONCEPTS):
        for other in (concept.parent, concept.companion and concept.companion[0]):
            assert other is None or COLUMN[other] < c


def test_prevalence_over_encounters_spans_two_to_thirty_five_percent(histories):
    prevalence = histories.on.mean(axis=0)
    assert 0.02 < prevalence.min() < 0.04
    assert 0.30 < prevalence.max() < 0.38
    assert np.median(prevalence) < prevalence.mean()  # few common, many rare


def test_episodes_stick_to_patients(lives):
    """The same patient has it again far apart more often than another: liability, not only persistence."""
    on = over_time(lives, "electrolytes")
    assert on[9][on[1]].mean() > 1.2 * on[9].mean()


def test_restless_patients_move_more_at_the_same_burden(lives):
    restless = lives[0].traits[:, dynamics.TRAITS.index("restlessness")] > 0
    moves = sum((a.on ^ b.on)[:, dynamics.MOVING].sum(axis=1) for a, b in pairwise(lives))
    episodic = [isinstance(concept.dynamics, Episodic) for concept in CONCEPTS]
    burden = sum(state.on[:, episodic].sum(axis=1) for state in lives)
    assert moves[restless].mean() > 1.2 * moves[~restless].mean()
    assert burden[restless].mean() == pytest.approx(burden[~restless].mean(), rel=0.12)


def test_a_step_samples_a_future_without_changing_the_present(lives):
    state = lives[3].take(np.arange(50))
    kept = [part.copy() for part in state]
    one, two = (dynamics.step(state, np.random.default_rng(seed)) for seed in (0, 1))
    assert all(np.array_equal(a, b) for a, b in zip(state, kept, strict=True))
    assert not np.array_equal(one.on, two.on)
    assert np.array_equal(one.traits, state.traits)
