"""How the concept state moves from one encounter to the next: the world's only clock is the encounter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jepascope.cohort.synthetic.concepts import (
    COLUMN,
    CONCEPTS,
    FAMILIES,
    Chronic,
    Concept,
    Cyclic,
    Drift,
    Driven,
    Episodic,
    LongMemory,
    Shock,
    kind,
)

TRAITS = (*FAMILIES, "restlessness")
LIABILITY_SD = 0.6  # log-scale spread of how prone patients are to a family of concepts
RESTLESSNESS_SD = 0.6  # log-scale spread of how fast a patient's episodes start and end
VELOCITY_MEMORY, VELOCITY_NOISE = 0.9, 0.06  # of drift, per encounter


def _latents() -> dict[str, tuple[str, ...]]:
    """Name the hidden numbers behind each concept that needs more than on or off."""
    slots: dict[str, tuple[str, ...]] = {}
    for concept in CONCEPTS:
        match concept.dynamics:
            case Drift():
                slots[concept.name] = (f"level_{concept.name}", f"velocity_{concept.name}")
            case Cyclic():
                slots[concept.name] = (f"phase_{concept.name}",)
            case LongMemory(lag=lag):
                slots[concept.name] = tuple(f"echo_{concept.name}_{j}" for j in range(1, lag + 1))
    return slots


SLOTS = _latents()
LATENTS = tuple(name for names in SLOTS.values() for name in names)
_FIRST_SLOT = {concept: LATENTS.index(names[0]) for concept, names in SLOTS.items()}
# Shocks and their echoes are noise by construction; movement of the patient is in the rest.
MOVING = np.array([kind(concept.dynamics) not in ("shock", "long_memory") for concept in CONCEPTS])


class State(NamedTuple):
    """All that the next encounter depends on, of B patients at their encounter k. Markov: nothing else matters."""

    on: np.ndarray  # bool [B, C]
    latent: np.ndarray  # float32 [B, M], columns LATENTS
    traits: np.ndarray  # float32 [B, 6], columns TRAITS; constant over a patient's life

    def take(self, rows: np.ndarray) -> State:
        """Keep some patients (index or mask [B])."""
        return State(self.on[rows], self.latent[rows], self.traits[rows])


def start(age: np.ndarray, rng: np.random.Generator) -> State:
    """Draw B patients at their first encounter.

    It is the step after an imaginary encounter, so that a driven or echoing concept obeys its rule from k = 0 on.
    `age` (years, [B]) raises the liability to geriatric concepts.
    """
    B = len(age)
    traits = rng.standard_normal((B, len(TRAITS)), dtype=np.float32)
    geriatric = FAMILIES.index("geriatric")
    traits[:, geriatric] = 0.8 * (age - 60) / 18 + 0.6 * traits[:, geriatric]
    latent = np.zeros((B, len(LATENTS)), np.float32)
    for name, first in _FIRST_SLOT.items():
        match CONCEPTS[COLUMN[name]].dynamics:
            case Drift():
                latent[:, first] = rng.standard_normal(B)
                latent[:, first + 1] = rng.standard_normal(B) * VELOCITY_NOISE / np.sqrt(1 - VELOCITY_MEMORY**2)
            case Cyclic(share=share, period=period):
                latent[:, first] = np.where(rng.random(B) < share, rng.integers(0, period, B), -1)
            case LongMemory(of=of, lag=lag):
                latent[:, first : first + lag] = rng.random((B, lag)) < _prevalence(CONCEPTS[COLUMN[of]])
    on = np.zeros((B, len(CONCEPTS)), bool)
    for c, concept in enumerate(CONCEPTS):
        chance = _prevalence(concept) * _liability(concept, traits)
        on[:, c] = rng.random(B) < chance * _gate(concept, on, was_on=on[:, c])
    return step(State(on, latent, traits), rng)


def step(state: State, rng: np.random.Generator) -> State:
    """Draw the next encounter's state given this one. Calling it again on the same state samples another future.

    Shapes as in `State`. The time to the next encounter has no part in it.
    """
    latent = _move_latents(state, rng)
    on = np.zeros_like(state.on)
    for c, concept in enumerate(CONCEPTS):
        chance = _chance(concept, state, latent) * _gate(concept, on, was_on=state.on[:, c])
        on[:, c] = rng.random(len(on), dtype=np.float32) < chance
    return State(on, latent, state.traits)


def _chance(concept: Concept, before: State, latent: np.ndarray) -> np.ndarray:
    """P(concept is on now | the encounter before), before parent and companion have their say. Returns [B]."""
    was_on = before.on[:, COLUMN[concept.name]]
    liability = _liability(concept, before.traits)
    match concept.dynamics:
        case Chronic(onset=onset):
            return np.where(was_on, 1.0, onset * liability)
        case Episodic(prevalence, persistence):
            # Restless patients start and end episodes faster, at the same prevalence.
            pace = np.exp(RESTLESSNESS_SD * before.traits[:, TRAITS.index("restlessness")])
            begin = prevalence / (1 - prevalence) * (1 - persistence) * liability
            return np.where(was_on, 1 - np.minimum((1 - persistence) * pace, 0.95), np.minimum(begin * pace, 0.95))
        case Shock(prevalence):
            return np.full(len(was_on), prevalence)
        case Driven(by, unless, chance, noise):
            rule = before.on[:, COLUMN[by]] & ~before.on[:, COLUMN[unless]]
            return np.where(rule, chance, noise)
        case Drift(threshold):
            return (latent[:, _FIRST_SLOT[concept.name]] > threshold).astype(float)
        case Cyclic(_, _, chance, noise):
            return np.where(latent[:, _FIRST_SLOT[concept.name]] == 0, chance, noise)
        case LongMemory(_, lag, chance, noise):
            # Place j of the delay line is the shock j encounters ago.
            return np.where(latent[:, _FIRST_SLOT[concept.name] + lag - 1] > 0, chance, noise)


def _move_latents(state: State, rng: np.random.Generator) -> np.ndarray:
    """Advance levels, phases and delay lines by one encounter. Returns [B, M]."""
    latent = state.latent.copy()
    for name, first in _FIRST_SLOT.items():
        match CONCEPTS[COLUMN[name]].dynamics:
            case Drift():
                noise = VELOCITY_NOISE * rng.standard_normal(len(latent))
                latent[:, first + 1] = VELOCITY_MEMORY * latent[:, first + 1] + noise
                latent[:, first] += latent[:, first + 1]
            case Cyclic(period=period):
                phase = latent[:, first]
                latent[:, first] = np.where(phase < 0, -1, (phase + 1) % period)
            case LongMemory(of=of, lag=lag):
                latent[:, first + 1 : first + lag] = state.latent[:, first : first + lag - 1]
                latent[:, first] = state.on[:, COLUMN[of]]
    return latent


def _gate(concept: Concept, on: np.ndarray, was_on: np.ndarray) -> np.ndarray:
    """Factor on the chance from the concepts already drawn in this encounter: 0 without the parent. Returns [B].

    A companion makes the onset likelier and leaves the end alone, so that pace does not change prevalence.
    """
    factor = np.ones(len(on))
    if concept.companion:
        name, times = concept.companion
        factor[on[:, COLUMN[name]] & ~was_on] = times
    if concept.parent:
        factor[~on[:, COLUMN[concept.parent]]] = 0
    return factor


def _liability(concept: Concept, traits: np.ndarray) -> np.ndarray:
    """A patient's factor on onset, of mean 1 over patients. Returns [B]."""
    trait = traits[:, FAMILIES.index(concept.family)]
    return np.exp(LIABILITY_SD * trait - LIABILITY_SD**2 / 2)


def _prevalence(concept: Concept) -> float:
    match concept.dynamics:
        case Chronic(start=start):
            return start
        case Episodic(prevalence=prevalence) | Shock(prevalence=prevalence):
            return prevalence
    return 0.0
