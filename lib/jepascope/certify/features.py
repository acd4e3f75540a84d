"""Which ways of finding features find the planted concepts, each feature standing for one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from jepascope.analysis.inference.families import moved_correlations
from jepascope.analysis.inference.stats import (
    NULL_COLUMNS,
    Estimate,
    Inference,
    NotComputable,
    bootstrap_counts,
    interval,
    null_of,
    patient_sums,
    permuted_rows,
    require_carriers,
)
from jepascope.certify.planted import Truth

# A feature stands for a concept above this correlation.
RECOVERED = 0.7
MEASURES = ("mean r", "MCC", "recall", "precision")


class Choice(NamedTuple):
    """What one method offers for each of C concepts, chosen on training patients."""

    best: np.ndarray  # int [C], the feature of largest |r|; a feature may serve several concepts
    sign: np.ndarray  # [C], of that r
    partner: np.ndarray  # int [C], the feature matched one to one, −1 without
    living: int  # features that are not constant


class Recovery(NamedTuple):
    """How well each method's features stand for concepts, on test patients."""

    concepts: pd.DataFrame  # method, concept, dynamics, feature, r, partner, partner_r, reason
    methods: pd.DataFrame  # method, measure (of MEASURES, or a kind of concept), value, low, ..., null, ..., features
    differences: pd.DataFrame  # reference, method, measure, value, low, high, ..., null, ...


def correlations(f: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Pearson r [F, C] of features f [N, F] with states [N, C]; 0 where either is constant: it tracks nothing."""
    f, states = np.asarray(f, float), np.asarray(states, float)
    centred, moved = f - f.mean(axis=0), states - states.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)[:, None] * np.linalg.norm(moved, axis=0)
    return np.divide(centred.T @ moved, norm, out=np.zeros(norm.shape), where=norm > 1e-8)


def choose(f: np.ndarray, states: np.ndarray) -> Choice:
    """Pick features f [N, F] of training rows for concepts [N, C]: the best for each, and partners one to one.

    Partners maximise the sum of signed r (Hungarian), as a feature is one-sided. A partner need not be the best one.
    """
    r = correlations(f, states)  # [F, C]
    best = np.abs(r).argmax(axis=0)
    living = np.flatnonzero(np.ptp(f, axis=0) > 0)
    partner = np.full(states.shape[1], -1)
    rows, columns = linear_sum_assignment(-r[living])
    partner[columns] = living[rows]
    return Choice(best, np.where(r[best, np.arange(len(best))] < 0, -1.0, 1.0), partner, len(living))


def picked(f: np.ndarray, choice: Choice) -> np.ndarray:
    """The chosen features of rows f [N, F] by concept, [2, N, C]: the best with its sign, and the partner or zeros."""
    return np.stack([f[:, choice.best] * choice.sign, np.where(choice.partner >= 0, f[:, choice.partner], 0.0)])


def drawn_correlations(
    picks: np.ndarray, states: np.ndarray, patients: np.ndarray, how: Inference, rng: np.random.Generator
) -> np.ndarray:
    """r of each pick with its concept [1 + draws, P, C]: as the rows are, then in draws of patients, the same for all.

    picks [P, N, C], states [N, C], patients [N]. 0 where a pick or a concept is constant in a draw. Raises
    NotComputable under `how.min_patients`.
    """
    P, N, C = picks.shape
    x = (picks - picks.mean(axis=1, keepdims=True)).transpose(1, 0, 2)  # [N, P, C]
    y = states - states.mean(axis=0)
    columns = [np.ones((N, 1)), y, y * y, *(a.reshape(N, P * C) for a in (x, x * x, x * y[:, None]))]
    sums = patient_sums(np.hstack(columns), patients, how.min_patients)
    counts = np.vstack([np.ones(len(sums)), bootstrap_counts(len(sums), how.bootstrap, rng)])
    n, sy, syy, *rest = np.split(counts @ sums, np.cumsum([1, C, C, P * C, P * C]), axis=1)
    sx, sxx, sxy = (a.reshape(-1, P, C) for a in rest)
    n, sy, syy = n[:, None], sy[:, None], syy[:, None]
    spread = np.clip(n * sxx - sx**2, 0, None) * np.clip(n * syy - sy**2, 0, None)
    return np.divide(n * sxy - sx * sy, np.sqrt(spread), out=np.zeros(sx.shape), where=spread > 1e-9)


def moved_picks(picks: np.ndarray, states: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """r [1 + moves, P, C] of each pick [P, N, C] with its concept's states [N, C] moved between patients."""
    rows = np.vstack([np.arange(len(states), dtype=moves.dtype), moves])
    found = [moved_correlations(picks[:, :, c].T, states[:, [c]])(rows) for c in range(states.shape[1])]
    return np.nan_to_num(np.stack(found, axis=2))


def measures(r: np.ndarray, living: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """MEASURES of M methods from r [.., M, 2, C] of best features and partners; then mean r of each kind of concept.

    A concept without a partner counts as r = 0, so that a method gains nothing by having few features. precision is
    partners at r > 0.7 over living features [M], recall the same over concepts. kinds [C] -> [.., M, 4 + kinds].
    """
    best, partner = r[..., 0, :], r[..., 1, :]
    found = (partner > RECOVERED).sum(axis=-1)
    shares = [found / r.shape[-1], found / np.maximum(living, 1)]
    by_kind = [best[..., kinds == kind].mean(axis=-1) for kind in pd.unique(kinds)]
    return np.stack([best.mean(axis=-1), partner.mean(axis=-1), *shares, *by_kind], axis=-1)


def feature_recovery(
    features: dict[str, np.ndarray],
    references: tuple[str, ...],
    truth: Truth,
    index: pd.DataFrame,
    how: Inference,
    rng: np.random.Generator,
) -> Recovery:
    """Features held against concepts: chosen on training patients, read on test patients, or the search would flatter.

    features: method -> [N, F]; truth, index of the same N rows; references: methods whose difference to every other one
    is wanted. One set of draws and one of moves serves all methods and concepts. r has the sign that it had in
    training: a size would be above 0 in nothing. Raises NotComputable if too few test patients carry any concept.
    """
    patients = index["subject_id"].to_numpy()
    train, test = ((index["split"] == name).to_numpy() for name in ("train", "test"))
    names = truth.concepts["name"].to_list()
    states = truth.states[names].to_numpy(float)
    reasons = [_too_rare(state, patients, (test, train), how) for state in states.T]
    mine = np.array([not reason for reason in reasons])
    if not mine.any():
        raise NotComputable(reasons[0])
    choices = {name: choose(f[train], states[train][:, mine]) for name, f in features.items()}
    picks = np.concatenate([picked(f[test], choices[name]) for name, f in features.items()])  # [2 M, N_test, C]
    living = np.array([choice.living for choice in choices.values()])
    drawn = drawn_correlations(picks, states[test][:, mine], patients[test], how, rng)
    moves = permuted_rows(patients[test], how.permutations, rng)
    moved = moved_picks(picks, states[test][:, mine], moves)
    shape = (-1, len(features), 2, int(mine.sum()))
    drawn, moved = drawn.reshape(shape), moved.reshape(shape)
    kinds = truth.concepts["dynamics"].to_numpy()[mine]
    told = measures(drawn, living, kinds), measures(moved, living, kinds)
    counts = int(mine.sum()), int(test.sum()), len(np.unique(patients[test]))
    concepts = _concepts_table(truth.concepts[["name", "dynamics"]], choices, drawn[0], mine, reasons)
    return Recovery(concepts, *_method_tables(choices, references, (*MEASURES, *pd.unique(kinds)), *told, *counts, how))


def _too_rare(state: np.ndarray, patients: np.ndarray, parts: tuple[np.ndarray, ...], how: Inference) -> str:
    try:
        for rows in parts:
            require_carriers(state[rows], patients[rows], how.min_carriers)
    except NotComputable as reason:
        return str(reason)
    return ""


def _concepts_table(
    concepts: pd.DataFrame, choices: dict[str, Choice], r: np.ndarray, mine: np.ndarray, reasons: list[str]
) -> pd.DataFrame:
    tables = []
    for choice, (best_r, partner_r), method in zip(choices.values(), r, choices, strict=True):
        table = concepts.rename(columns={"name": "concept"}).assign(reason=reasons)
        table.insert(0, "method", method)
        found = {"feature": choice.best, "r": best_r, "partner": choice.partner, "partner_r": partner_r}
        for name, values in found.items():
            table.loc[mine, name] = values
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _method_tables(
    choices: dict[str, Choice],
    references: tuple[str, ...],
    measured: tuple[str, ...],
    drawn: np.ndarray,
    moved: np.ndarray,
    n_concepts: int,
    n_rows: int,
    n_patients: int,
    how: Inference,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of all measures, and of references less other methods; drawn and moved are [1 + draws, M, Q]."""

    def spelled(values: np.ndarray, null: np.ndarray) -> dict[str, Any]:
        estimate = Estimate(float(values[0]), *interval(values[1:], how.level), n_rows, n_patients)
        return estimate._asdict() | null_of(null[1:], float(null[0]), how.level).columns()

    names, rows, differences = list(choices), [], []
    for q, measure in enumerate(measured):
        for m, name in enumerate(names):
            about = {"method": name, "measure": measure, "features": choices[name].living, "concepts": n_concepts}
            rows.append(about | spelled(drawn[:, m, q], moved[:, m, q]))
        for one in (name for name in references if name in choices):
            for m, name in enumerate(names):
                a = names.index(one)
                if a != m:
                    less = spelled(drawn[:, a, q] - drawn[:, m, q], moved[:, a, q] - moved[:, m, q])
                    differences.append({"reference": one, "method": name, "measure": measure} | less)
    columns = ["reference", "method", "measure", *Estimate._fields, *NULL_COLUMNS]
    return pd.DataFrame(rows), pd.DataFrame(differences, columns=columns)
