"""Feature cards: what each kept feature of the dictionary goes with, named on training and read on test patients."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from jepascope import params
from jepascope.analysis.features.enrichment import (
    MIN_CELL,
    MIN_ODDS,
    Enrichment,
    drawn_odds,
    enrichment,
    found_in_nothing,
)
from jepascope.analysis.features.label_ties import ties
from jepascope.analysis.features.naming import Names, leading, telling
from jepascope.analysis.features.persistence import persistence
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Dictionary, densify, encode
from jepascope.analysis.sae.labels import label_entropy
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.concepts import psychiatric_groups
from jepascope.cohort.encounters import Encounters
from jepascope.cohort.features import bag_of_codes
from jepascope.cohort.questions import QUESTIONS
from jepascope.cohort.titles import token_titles
from jepascope.objects import load_objects
from jepascope.params import project_root
from jepascope.pipeline.cohort.records import planted
from jepascope.pipeline.dictionary.dictionaries import load_consensus, load_dictionary
from jepascope.store import read_json, read_table, read_tensors, write_json, write_table, write_tensors

# Codes on a card, cards on the page, and codes in a name; a page of more is not read.
MOST_CODES, MOST_CARDS, MOST_IN_NAME = 6, 64, 3
# A code joins the name when it tells at least this share of what the leading one tells.
JOINS = 0.5
# Cohorts of nothing in which enriched pairs are counted: each has tens of thousands of pairs.
COHORTS_OF_NOTHING = 5
MIXED = "mixed"


class Cards(NamedTuple):
    """What the page shows. Rows of persons are not among it, and no cell of fewer than MIN_CELL patients."""

    features: pd.DataFrame  # a row a card, in order: feature, name, rate, patients, votes, dynamics, entropy
    evidence: pd.DataFrame  # a row a feature and code
    labels: pd.DataFrame  # a row a feature and label
    others: pd.DataFrame  # features without a card: feature, counts, voters, reappears, kept, rate, patients
    counts: dict[str, float]  # pairs tested, enriched, and enriched in nothing


class _Rows(NamedTuple):
    """Codes and tokens of the two sets of patients: train to choose on, test to read on."""

    f: np.ndarray  # float32 [N, F]
    bag: sparse.csr_matrix  # [N, V]
    patients: np.ndarray  # [N]
    train: np.ndarray  # bool [N]
    test: np.ndarray  # bool [N]

    def part(self, rows: np.ndarray) -> tuple[np.ndarray, sparse.csr_matrix, np.ndarray]:
        """On [n, F], codes [n, V] and patients [n] of one set."""
        return self.f[rows] > 0, self.bag[rows], self.patients[rows]


def records_beside(encounters: Path, source: params.Source) -> Path:
    """Where an extraction's records are: their dictionaries have the titles of codes."""
    return encounters.parent / "records" if source.kind == "synthetic" else project_root() / str(source.root)


def make_cards(
    folder: Path, encounters: Path, records: Path, trained: Path, votes: Path, statistics: params.Statistics, seed: int
) -> None:
    """The step that makes the cards of the features that the vote kept.

    Leaves features, evidence, labels and others (parquet), counts.json and, for the claims, names.safetensors. Raises
    NotComputable under two kept features or too few patients.
    """
    cohort, how = cohort_encounters.load(encounters), Inference(**statistics.model_dump())
    rows, rng = _rows(cohort, load_objects(trained).z, load_consensus(votes)), np.random.default_rng(seed)
    found = enrichment(*rows.part(rows.train))
    chosen = leading(found, MOST_CODES)
    write_names(folder, rows, chosen)
    nothing = found_in_nothing(*rows.part(rows.train), COHORTS_OF_NOTHING, rng)
    counts = {"tested": np.isfinite(found.q).sum(), "enriched": found.found.sum(), "in_nothing": nothing.mean()}
    write_json(folder / "counts.json", {name: float(count) for name, count in counts.items()})
    titles = token_titles(cohort.vocabulary, planted(records))[1:]
    evidence = _evidence(rows, found, chosen, titles, how, rng)
    ballots = read_table(votes / "votes.parquet")
    kept = np.flatnonzero(ballots["kept"])
    features = _features(rows, evidence, how, rng).join(ballots.loc[kept].reset_index(drop=True))
    labels = _labels(rows, cohort.index, how, rng)
    shown = _shown(features.assign(feature=kept))
    write_table(folder / "features.parquet", shown)
    for name, table in (("evidence", evidence), ("labels", labels)):
        numbered = table.assign(feature=kept[table["card"]]) if len(table) else table.assign(feature=0)
        write_table(folder / f"{name}.parquet", numbered[numbered["feature"].isin(shown["feature"])])
    write_table(folder / "others.parquet", _others(cohort, load_objects(trained).z, votes, shown["feature"]))


def name_dictionary(folder: Path, encounters: Path, objects: Path, dictionaries: Path, name: str) -> None:
    """The step that names all living features of one stored dictionary, for comparison. Leaves names.safetensors."""
    cohort = cohort_encounters.load(encounters)
    rows = _rows(cohort, load_objects(objects).z, load_dictionary(dictionaries, name))
    alive = (rows.f[rows.train] > 0).any(axis=0)
    rows = rows._replace(f=rows.f[:, alive])
    write_names(folder, rows, leading(enrichment(*rows.part(rows.train)), 1))


def load_cards(folder: Path) -> Cards:
    """Read what `make_cards` left. Raises StoreError."""
    tables = {name: read_table(folder / f"{name}.parquet") for name in Cards._fields[:4]}
    return Cards(counts=read_json(folder / "counts.json"), **tables)


def write_names(folder: Path, rows: _Rows, chosen: list[np.ndarray]) -> None:
    """Write each feature's leading code on test patients, for `analysis.features.naming`."""
    named = np.array([len(codes) > 0 for codes in chosen], bool)
    first = np.array([codes[0] if len(codes) else 0 for codes in chosen], int)
    on, bag, patients = rows.part(rows.test)
    carried = np.asarray(bag[:, first].todense() > 0) & named
    write_tensors(folder / "names.safetensors", {"on": on, "carried": carried, "named": named, "patients": patients})


def load_names(folder: Path) -> Names:
    """Read the names of a dictionary's features with their test patients. Raises StoreError."""
    return Names(**read_tensors(folder / "names.safetensors"))


def _rows(cohort: Encounters, z: np.ndarray, dictionary: Dictionary) -> _Rows:
    """Encode every encounter; [CLS] is left out of the codes, everybody has it."""
    split = cohort.index["split"].to_numpy()
    patients = cohort.index["subject_id"].to_numpy()
    return _Rows(
        densify(encode(dictionary, z)), bag_of_codes(cohort)[:, 1:], patients, split == "train", split == "test"
    )


def _evidence(
    rows: _Rows,
    found: Enrichment,
    chosen: list[np.ndarray],
    titles: list[str],
    how: Inference,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Chosen codes read on test patients: a row a card and code, those of fewer than MIN_CELL patients left out."""
    card = np.repeat(np.arange(len(chosen)), [len(codes) for codes in chosen])
    code = np.concatenate([*chosen, np.empty(0, int)]).astype(int)
    on, bag, patients = rows.part(rows.test)
    odds = drawn_odds(on, bag, (card, code), patients, how, rng)
    both = on[:, card] & np.asarray(bag[:, code].todense() > 0)  # [n, P]
    table = pd.DataFrame(
        {
            "card": card,
            "title": [titles[c] for c in code],
            "bits": telling(found)[card, code],
            "odds_train": found.odds_ratio[card, code],
            "q": found.q[card, code],
            "odds": odds.value,
            "low": odds.low,
            "high": odds.high,
            "coverage": both.sum(axis=0) / np.maximum(on[:, card].sum(axis=0), 1),
            "prevalence": np.ravel(bag[:, code].mean(axis=0)),
            "patients": [len(np.unique(patients[with_both])) for with_both in both.T],
            "leads": np.diff(card, prepend=-1) > 0,
        }
    )
    return table[table["patients"] >= MIN_CELL].reset_index(drop=True)


def given_name(evidence: pd.DataFrame) -> str:
    """The name that one feature's evidence bears out, "mixed" where test patients don't confirm the leading code.

    Codes were chosen and ordered on training patients; here they can only be lost. One is confirmed by an odds ratio
    above MIN_ODDS with an interval above 1; up to two more join that tell half as much as the first.
    """
    confirmed = evidence[(evidence["odds"] > MIN_ODDS) & (evidence["low"] > 1)]
    if confirmed.empty or not confirmed["leads"].iloc[0]:
        return MIXED
    joining = confirmed[confirmed["bits"] >= JOINS * confirmed["bits"].iloc[0]]
    return ", ".join(joining["title"].iloc[:MOST_IN_NAME])


def _features(rows: _Rows, evidence: pd.DataFrame, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """A row a feature: its name, how often and in how many test patients it is on, and how it comes and goes."""
    on, _, patients = rows.part(rows.test)
    moves = pd.DataFrame(persistence(on, patients, how, rng)._asdict()).rename(columns={"patients": "followed"})
    by_rate = {"rate": on.mean(axis=0), "patients": [len(np.unique(patients[column])) for column in on.T]}
    names = [given_name(evidence[evidence["card"] == card]) for card in range(on.shape[1])]
    return pd.DataFrame({"name": names, **by_rate}).join(moves)


def _labels(rows: _Rows, index: pd.DataFrame, how: Inference, rng: np.random.Generator) -> pd.DataFrame:
    """Ties of every feature with psychiatric groups (one family) and with outcomes (each among rows that have it).

    Outcomes have rows of their own, so theirs are families apart: their p are multiplied by the number of outcomes.
    Labels that fewer than MIN_CELL test patients have, or lack, are left out.
    """
    test = np.flatnonzero(rows.test)
    groups = {name: y[test] for name, y in psychiatric_groups(index).items()}
    groups = {name: y for name, y in groups.items() if _enough(y, rows.patients[test])}
    tables = []
    if len(groups) >= 2:
        y = np.stack(list(groups.values()), axis=1)
        entropy = label_entropy(rows.f[test], y)
        table = _tied(rows, test, list(groups), y, how, rng).assign(family="group", expected=entropy.expected)
        tables.append(table.assign(entropy=entropy.entropy[table["card"]]))
    outcomes = {}
    for question in (question for question in QUESTIONS if question.column in index):
        answer = index[question.column].to_numpy()
        known = test[answer[test] >= 0]  # NaN is not
        y = answer[known].astype(bool)
        if _enough(y, rows.patients[known]):
            outcomes[question.name] = (known, y)
    for name, (known, y) in outcomes.items():
        table = _tied(rows, known, [name], y[:, None], how, rng).assign(
            family="outcome", entropy=np.nan, expected=np.nan
        )
        tables.append(table.assign(adjusted=np.minimum(1.0, table["adjusted"] * len(outcomes))))
    if not tables:
        raise NotComputable(f"no label that {MIN_CELL} test patients have and {MIN_CELL} lack")
    return pd.concat(tables, ignore_index=True)


def _enough(y: np.ndarray, patients: np.ndarray) -> bool:
    return min(len(np.unique(patients[y])), len(np.unique(patients[~y]))) >= MIN_CELL


def _tied(
    rows: _Rows, part: np.ndarray, names: list[str], y: np.ndarray, how: Inference, rng: np.random.Generator
) -> pd.DataFrame:
    """`analysis.features.label_ties.ties` as a table: a row a card and label."""
    found = ties(rows.f[part], y, rows.patients[part], how, rng)
    F, L = found.r.shape
    pairs = {"card": np.repeat(np.arange(F), L), "label": np.tile(names, F)}
    return pd.DataFrame(pairs | {name: values.ravel() for name, values in found._asdict().items()})


def _shown(features: pd.DataFrame) -> pd.DataFrame:
    """Features with enough test patients, the likeliest to reappear first, then those of most patients."""
    enough = features[features["patients"] >= MIN_CELL]
    return enough.sort_values(["reappears", "patients"], ascending=False, kind="stable").head(MOST_CARDS)


def _others(cohort: Encounters, z: np.ndarray, votes: Path, shown: pd.Series) -> pd.DataFrame:
    """Living features of the voted dictionary without a card; of fewer than MIN_CELL patients neither count is told."""
    rows = _rows(cohort, z, load_dictionary(votes, "reference"))
    on, _, patients = rows.part(rows.test)
    reach = np.array([len(np.unique(patients[column])) for column in on.T])
    seen = {"rate": np.where(reach >= MIN_CELL, on.mean(axis=0), np.nan), "patients": reach}
    table = read_table(votes / "votes.parquet").assign(feature=np.arange(len(reach)), **seen)
    without = table[table["alive"] & ~table["feature"].isin(shown)]
    return without.assign(patients=without["patients"].where(without["patients"] >= MIN_CELL))


def unnamed(features: pd.DataFrame) -> int:
    """How many cards bear no name."""
    return int((features["name"] == MIXED).sum())


def tied_to_groups(labels: pd.DataFrame, level: float) -> int:
    """How many cards go with a psychiatric group beyond the search for one, more often than without it."""
    tied = (labels["family"] == "group") & (labels["adjusted"] < 1 - level) & (labels["r"] > 0)
    return int(labels.loc[tied, "feature"].nunique())
