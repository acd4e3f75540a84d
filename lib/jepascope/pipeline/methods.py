"""Certificates of methods: how often each is wrong where there is nothing, and how often it finds what is there."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from jepascope import params
from jepascope.analysis.false_findings import alarms, false_findings
from jepascope.cohort import encounters as cohort_encounters
from jepascope.store import read_json, read_table, write_json, write_table

# How strong the shared factor of the toy cohorts is, and how many cohorts there are of each that holds one: a share of
# so many is known to within a fifth.
STRENGTHS, POWER_COHORTS = (0.2, 0.4, 0.6, 0.8), 25
# Cohorts on which methods are also done by rows, for the table of what that finds.
SHOWN_COHORTS = 5
PATIENTS = 300


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
    empty: tuple[str, ...] = ()  # claims whose null must be nought: nothing is found in nothing


# The gates of the design. A method may not report something in more than a tenth of cohorts of nothing, which leaves
# room for a hundred cohorts to err about a twentieth. An R² below nought is an honest one: strangers predict worse than
# the mean.
MOST_ALARMS, SHAPE, SHAPE_GATE = 0.10, "trajectory shape test", 0.01
WORDS = {"gain": "shape", "order": "order"}  # of what the shape test reads
GATES = {
    "block sign-flips": Gate(),
    "CKA between patients": Gate("|mean CKA| of strangers ≤ 0.02", -0.02, 0.02),
    "nested lasso by patient": Gate("mean R² of strangers ≤ 0.01", most=0.01),
    "enrichment by patient max-T": Gate(),
    "search over features by patient max-T": Gate(),
}
PROMISES = {
    "linear probes": Promise(
        "shocks are read from z, and are at chance in ẑ", hold=("shock_in_z", "shock_not_in_z_hat")
    ),
    "stability vote": Promise(
        "nothing of noise is kept, and ≥ 0.80 of what is kept reappears on other patients",
        hold=("noise_keeps_none",),
        least=(("kept_reappear", 0.80),),
    ),
    "clusters that come back": Promise("none where there are only patients", empty=("clusters_come_back",)),
    "blind-spot map": Promise(
        "blindness put in is found (cos² > 0.9); what is told opens, the rest stays",
        hold=("injected_blindness_is_found", "told_concepts_open", "other_concepts_stay"),
    ),
}


def examine_methods(folder: Path, encounters: Path, certification: params.Certification, seed: int) -> None:
    """The step that leaves alarms.parquet (of patient-exact methods) and false_findings.parquet (beside rows).

    Nothing of the encounters is used but how many each of a random sample of patients has.
    """
    rng = np.random.default_rng(seed)
    records = cohort_encounters.load(encounters).index.groupby("subject_id").size().to_numpy()
    lengths = rng.choice(records, min(PATIENTS, len(records)), replace=False)
    cohorts = (certification.cohorts, *[min(POWER_COHORTS, certification.cohorts)] * len(STRENGTHS))
    write_table(folder / "alarms.parquet", alarms(rng, (0.0, *STRENGTHS), cohorts, lengths=lengths))
    shown = min(SHOWN_COHORTS, certification.cohorts)
    write_table(folder / "false_findings.parquet", false_findings(rng, cohorts=shown, lengths=lengths))


def certificates(folder: Path, examined: Path, shaped: Path, *results: Path) -> None:
    """The step that decides: certificates.json, by method, from what the cohorts and the claims of all seeds say."""
    table = read_table(examined / "alarms.parquet")
    claims = [claim for file in results for claim in read_json(file)["claims"]]
    found = {name: by_cohorts(gate, table[table["method"] == name]) for name, gate in GATES.items()}
    found |= {SHAPE: of_shape(read_table(shaped / "power.parquet"))}
    found |= {name: by_claims(promise, claims) for name, promise in PROMISES.items()}
    write_json(folder / "certificates.json", found)


def by_cohorts(gate: Gate, table: pd.DataFrame) -> dict[str, str]:
    """One method's certificate from its rows of `alarms`: gate, measured, power, verdict."""
    nothing = table[table["shared"] == 0].iloc[0]
    strongest = table.loc[table["shared"].idxmax()]
    alarmed, value = f"{nothing['alarms']:.2f} in {nothing['cohorts']} cohorts", f"{nothing['value']:.3f} and "
    passed = nothing["alarms"] <= MOST_ALARMS and gate.least <= nothing["value"] <= gate.most
    return {
        "gate": "; ".join(filter(None, (gate.words, f"alarms in cohorts of nothing ≤ {MOST_ALARMS:.2f}"))),
        "measured": value + alarmed if gate.words else alarmed,
        "power": f"{strongest['alarms']:.2f} at a loading of {strongest['shared']:.1f}",
        "verdict": "certified" if passed else "lost",
    }


def of_shape(trials: pd.DataFrame) -> dict[str, str]:
    """The certificate of the shape test from `shape_power.shape_trials`: shape and its order where no shape acts.

    Cohorts that couldn't carry the test are no evidence that it is silent, and don't count.
    """
    computed = trials[trials["value"].notna()]
    nothing = computed[computed["effect"] == trials["effect"].min()]
    strongest = trials[(trials["effect"] == trials["effect"].max()) & (trials["what"] == "gain")]
    means, alarmed = (nothing.groupby("what", sort=False)[column].mean() for column in ("value", "found"))
    passed = (means.abs() <= SHAPE_GATE).all() and (alarmed <= MOST_ALARMS).all()
    cohorts = int((nothing["what"] == "gain").sum())
    said = ", ".join(
        f"{word} {means[what]:.4f} and {alarmed[what]:.2f}" for what, word in WORDS.items() if what in means
    )
    return {
        "gate": f"|mean ΔAUROC| ≤ {SHAPE_GATE}, and alarms ≤ {MOST_ALARMS:.2f}, where no shape acts",
        "measured": f"{said} in {cohorts} cohorts",
        "power": f"{strongest['found'].mean():.2f} at a log-hazard of {strongest['effect'].iloc[0]:.0f} per SD",
        "verdict": "not computable here" if not cohorts else "certified" if passed else "lost",
    }


def by_claims(promise: Promise, claims: Iterable[dict[str, Any]]) -> dict[str, str]:
    """One method's certificate from claims of all seeds: each was computed somewhere, and kept wherever it was."""
    asked = {*promise.hold, *promise.empty, *(name for name, _ in promise.least)}
    needed = {name: ("estimate", "null") if name in promise.empty else ("estimate",) for name in asked}
    mine = [claim for claim in claims if claim["id"] in asked]
    computed = [claim for claim in mine if all(isinstance(claim[part], dict) for part in needed[claim["id"]])]
    kept = sum(keeps(promise, claim) for claim in computed)
    verdict = "lost" if kept < len(computed) else "certified"
    if kept == len(computed) and {claim["id"] for claim in computed} < asked:
        verdict = "not computable here"
    return {"gate": promise.words, "measured": f"kept {kept} of {len(computed)} times", "power": "", "verdict": verdict}


def keeps(promise: Promise, claim: dict[str, Any]) -> bool:
    """Whether one claim's entry in the ledger is what the promise says of it."""
    least = dict(promise.least).get(claim["id"])
    if least is not None:
        return bool(claim["estimate"]["value"] >= least)
    if claim["id"] in promise.empty:
        return bool(claim["null"]["value"] == 0)
    return bool(claim["verdict"] == "holds")


def load_alarms(folder: Path) -> pd.DataFrame:
    """Of `alarms`: method, quantity, shared, cohorts, value, largest, alarms, low, high."""
    return read_table(folder / "alarms.parquet")


def load_false_findings(folder: Path) -> pd.DataFrame:
    """Of `false_findings`."""
    return read_table(folder / "false_findings.parquet")


def load_certificates(folder: Path) -> pd.DataFrame:
    """A row a method: method, gate, measured, power, verdict."""
    found = read_json(folder / "certificates.json")
    return pd.DataFrame([{"method": name, **fields} for name, fields in found.items()])
