"""Certificates of methods: how often each is wrong where there is nothing, and how often it finds what is there."""

from __future__ import annotations

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
    """What a method must do on cohorts of nothing to be certified: `column` of `alarms` at no factor, at most."""

    column: str
    most: float
    words: str


class Promise(NamedTuple):
    """What claims must show in every seed for a method to be certified; `words` say it in short."""

    words: str
    hold: tuple[str, ...] = ()  # claims that must hold
    least: tuple[tuple[str, float], ...] = ()  # claims whose estimate must reach a value, as a gate without an interval
    empty: tuple[str, ...] = ()  # claims whose null must be nought: nothing is found in nothing


# The gates of the design. A method may not report something in more than a tenth of cohorts of nothing, which leaves
# room for a hundred cohorts to err about a twentieth.
MOST_ALARMS, SHAPE, SHAPE_GATE = 0.10, "trajectory shape test", 0.01
GATES = {
    "block sign-flips": Gate("alarms", MOST_ALARMS, "alarms in cohorts of nothing"),
    "CKA between patients": Gate("value", 0.02, "mean CKA of strangers"),
    "nested lasso by patient": Gate("value", 0.01, "mean R² of strangers"),
    "enrichment by patient max-T": Gate("alarms", MOST_ALARMS, "alarms in cohorts of nothing"),
    "search over features by patient max-T": Gate("alarms", MOST_ALARMS, "alarms in cohorts of nothing"),
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
    value = float(nothing[gate.column])
    strongest = table.loc[table["shared"].idxmax()]
    return {
        "gate": f"{gate.words} ≤ {gate.most:.2f}",
        "measured": f"{value:.3f} in {nothing['cohorts']} cohorts",
        "power": f"{strongest['alarms']:.2f} at a loading of {strongest['shared']:.1f}",
        "verdict": "certified" if abs(value) <= gate.most else "lost",
    }


def of_shape(trials: pd.DataFrame) -> dict[str, str]:
    """The certificate of the shape test from `shape_power.shape_trials`: its mean gain where no shape acts."""
    gains = trials[trials["what"] == "gain"]
    nothing, strongest = (gains[gains["effect"] == effect] for effect in (gains["effect"].min(), gains["effect"].max()))
    mean = float(nothing["value"].mean())
    alarmed = float(nothing["found"].mean())
    verdict = "certified" if abs(mean) <= SHAPE_GATE and alarmed <= MOST_ALARMS else "lost"
    return {
        "gate": f"|mean ΔAUROC| ≤ {SHAPE_GATE}, and alarms ≤ {MOST_ALARMS:.2f}, where no shape acts",
        "measured": f"{mean:.4f}, {alarmed:.2f} in {len(nothing)} cohorts",
        "power": f"{strongest['found'].mean():.2f} at a log-hazard of {strongest['effect'].iloc[0]:.0f} per SD",
        "verdict": "not computable here" if np.isnan(mean) else verdict,
    }


def by_claims(promise: Promise, claims: Iterable[dict[str, Any]]) -> dict[str, str]:
    """One method's certificate from claims of all seeds: whatever was computed must keep the promise."""
    asked = {*promise.hold, *promise.empty, *(name for name, _ in promise.least)}
    computed = [claim for claim in claims if claim["id"] in asked and isinstance(claim["estimate"], dict)]
    kept = sum(keeps(promise, claim) for claim in computed)
    verdict = "not computable here" if not computed else "certified" if kept == len(computed) else "lost"
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
