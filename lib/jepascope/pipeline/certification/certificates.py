"""Certificates of methods: what each must do where the answer is known, and whether it did so in this run.

They are decided from what others have computed (the cohorts of `pipeline.methods.known_cohorts`, claims about the
models of all seeds), so that moving a gate decides anew and examines nothing again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from jepascope.store import read_json, read_table, write_json


class Gate(NamedTuple):
    """What a method's mean value must be on cohorts of nothing, beside its alarms, which all gates count alike."""

    words: str = ""
    least: float = -math.inf
    most: float = math.inf


class Promise(NamedTuple):
    """What claims must show in every seed for a method to be certified; `words` say it in short."""

    words: str
    hold: tuple[str, ...] = ()  # claims that must hold
    least: tuple[tuple[str, float], ...] = ()  # claims whose estimate must reach a value, as a gate without an interval
    most: tuple[tuple[str, float], ...] = ()  # claims whose estimate must not go beyond one
    empty: tuple[str, ...] = ()  # claims whose null must be nought: nothing is found in nothing
    recovers: str = ""  # the claim whose estimate says how much is found of what is there

    def claims(self) -> set[str]:
        """The ids of all claims that decide."""
        return {*self.hold, *self.empty, *(name for name, _ in (*self.least, *self.most))}


CERTIFIED, LOST, UNDECIDED = "certified", "lost", "not computable here"
# The gates of the design. A method may not report something in more than a tenth of cohorts of nothing, which leaves
# room for a hundred cohorts to err about a twentieth. An R² below nought is an honest one: strangers predict worse than
# the mean. One pair of three hundred, in one cohort of twenty, is what a family-wise level of 5 % permits: none, in
# whole per cent, where rows find a fifth of all pairs.
MOST_ALARMS, SHAPE, SHAPE_GATE = 0.10, "trajectory shape test", 0.01
# Among fewer cohorts a single alarm, which one in twenty may raise, is already too many: they decide nothing.
FEWEST = 10
WORDS = {"gain": "shape", "order": "order"}  # of what the shape test reads
GATES = {
    "block sign-flips": Gate(),
    "CKA between patients": Gate("|mean CKA| of strangers ≤ 0.02", -0.02, 0.02),
    "nested lasso by patient": Gate("mean R² of strangers ≤ 0.01", most=0.01),
    "enrichment by patient max-T": Gate("no pair (mean share ≤ 0.005)", most=0.005),
    "enrichment by patient score": Gate("no pair (mean share ≤ 0.005)", most=0.005),
    "search over features by patient max-T": Gate(),
}
PROMISES = {
    "linear probes": Promise(
        "shocks are read from z, and are at chance in ẑ",
        hold=("shock_in_z", "shock_not_in_z_hat"),
        recovers="chronic_in_z",
    ),
    "stability vote": Promise(
        "nothing of noise is kept, and ≥ 0.80 of what is kept reappears on other patients",
        least=(("kept_reappear", 0.80),),
        most=(("noise_keeps_none", 0.0),),
        recovers="kept_reappear",
    ),
    "voted features as concepts": Promise(
        "they stand for planted concepts better than PCA's axes, and than the untrained twin's features",
        hold=("voted_features_beat_pca", "voted_features_beat_twin"),
        recovers="voted_features_beat_pca",
    ),
    "residual of the labels": Promise(
        "a concept without a label is told by what labels leave of z, better than labelled ones are",
        hold=("bridge_unlabelled_is_left",),
        recovers="bridge_unlabelled_is_left",
    ),
    "clusters that come back": Promise("none where there are only patients", empty=("clusters_come_back",)),
    "blind-spot map": Promise(
        "blindness put in is found (cos² > 0.9); what is told opens, the rest stays",
        hold=("injected_blindness_is_found", "told_concepts_open", "other_concepts_stay"),
        recovers="injected_blindness_is_found",
    ),
}


def certificates(folder: Path, examined: Path, shaped: Path, *results: Path) -> None:
    """The step that decides: certificates.json, by method, from what the cohorts and the claims of all seeds say."""
    table = read_table(examined / "alarms.parquet")
    claims = [claim for file in results for claim in read_json(file)["claims"]]
    found = {name: by_cohorts(gate, table[table["method"] == name]) for name, gate in GATES.items()}
    found |= {SHAPE: of_shape(read_table(shaped / "power.parquet"))}
    found |= {name: by_claims(promise, claims) for name, promise in PROMISES.items()}
    write_json(folder / "certificates.json", found)


def by_cohorts(gate: Gate, table: pd.DataFrame) -> dict[str, str]:
    """One method's certificate from its rows of `alarms`: gate, measured, power, on, verdict."""
    nothing = table[table["shared"] == 0].iloc[0]
    strongest = table.loc[table["shared"].idxmax()]
    cohorts, others = int(nothing["cohorts"]), int(table["cohorts"].sum() - nothing["cohorts"])
    alarmed, value = f"{nothing['alarms']:.2f} in {cohorts} cohorts", f"{nothing['value']:.3f} and "
    passed = nothing["alarms"] <= MOST_ALARMS and gate.least <= nothing["value"] <= gate.most
    return {
        "gate": "; ".join(filter(None, (gate.words, f"alarms in cohorts of nothing ≤ {MOST_ALARMS:.2f}"))),
        "measured": value + alarmed if gate.words else alarmed,
        "power": f"{strongest['alarms']:.2f} at a loading of {strongest['shared']:.1f}",
        "on": f"{cohorts} cohorts of nothing, {others} with a factor",
        "verdict": decided(passed, cohorts),
    }


def of_shape(trials: pd.DataFrame) -> dict[str, str]:
    """The certificate of the shape test from `shape_power.shape_trials`: shape and its order where no shape acts.

    Cohorts that couldn't carry the test are no evidence that it is silent, and don't count.
    """
    computed = trials[trials["value"].notna()]
    nothing = computed[computed["effect"] == trials["effect"].min()]
    strongest = trials[(trials["effect"] == trials["effect"].max()) & (trials["what"] == "gain")]
    means, alarmed = (nothing.groupby("what", sort=False)[column].mean() for column in ("value", "found"))
    passed = bool((means.abs() <= SHAPE_GATE).all() and (alarmed <= MOST_ALARMS).all())
    cohorts, asked = ((table["what"] == "gain").sum() for table in (nothing, computed))
    said = ", ".join(
        f"{word} {means[what]:.4f} and {alarmed[what]:.2f}" for what, word in WORDS.items() if what in means
    )
    return {
        "gate": f"|mean ΔAUROC| ≤ {SHAPE_GATE}, and alarms ≤ {MOST_ALARMS:.2f}, where no shape acts",
        "measured": f"{said} in {cohorts} cohorts",
        "power": f"{strongest['found'].mean():.2f} at a log-hazard of {strongest['effect'].iloc[0]:.0f} per SD",
        "on": f"{cohorts} planted cohorts without shape, {asked - cohorts} with it",
        "verdict": decided(passed, int(cohorts)),
    }


def decided(passed: bool, cohorts: int) -> str:
    """The verdict of a gate on so many cohorts of nothing."""
    return UNDECIDED if cohorts < FEWEST else CERTIFIED if passed else LOST


def by_claims(promise: Promise, claims: Iterable[dict[str, Any]]) -> dict[str, str]:
    """One method's certificate from claims of all seeds: each was computed somewhere, and kept wherever it was."""
    claims = list(claims)
    asked = promise.claims()
    needed = {name: ("estimate", "null") if name in promise.empty else ("estimate",) for name in asked}
    mine = [claim for claim in claims if claim["id"] in asked]
    computed = [claim for claim in mine if all(isinstance(claim[part], dict) for part in needed[claim["id"]])]
    kept = sum(keeps(promise, claim) for claim in computed)
    verdict = LOST if kept < len(computed) else CERTIFIED
    if kept == len(computed) and {claim["id"] for claim in computed} < asked:
        verdict = UNDECIDED
    return {
        "gate": promise.words,
        "measured": f"kept {kept} of {len(computed)} times",
        "power": recovery([claim for claim in claims if claim["id"] == promise.recovers]),
        "on": f"models of {len({claim.get('seed') for claim in computed})} seeds",
        "verdict": verdict,
    }


def recovery(claims: Iterable[dict[str, Any]]) -> str:
    """How much is found of what is there: one claim's estimates over seeds, and of what they are; "" without any."""
    found = [claim for claim in claims if isinstance(claim["estimate"], dict)]
    if not found:
        return ""
    values = [claim["estimate"]["value"] for claim in found]
    _, bracket, unit = found[0]["statement"].rstrip(")").rpartition(" (")
    return f"{min(values):.2f} to {max(values):.2f}: {unit if bracket else found[0]['statement']}"


def keeps(promise: Promise, claim: dict[str, Any]) -> bool:
    """Whether one claim's entry in the ledger is what the promise says of it."""
    least, most = (dict(pairs).get(claim["id"]) for pairs in (promise.least, promise.most))
    if least is not None:
        return bool(claim["estimate"]["value"] >= least)
    if most is not None:
        return bool(claim["estimate"]["value"] <= most)
    if claim["id"] in promise.empty:
        return bool(claim["null"]["value"] == 0)
    return bool(claim["verdict"] == "holds")


def load_certificates(folder: Path) -> pd.DataFrame:
    """A row a method: method, gate, measured, power, on, verdict."""
    found = read_json(folder / "certificates.json")
    return pd.DataFrame([{"method": name, **fields} for name, fields in found.items()])
