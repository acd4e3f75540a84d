"""The step that makes cards: test patients have no part in choosing names, and small cells are left out."""

import numpy as np
import pandas as pd
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.features.enrichment import MIN_CELL
from jepascope.analysis.features.naming import confirmed_share, fit_difference
from jepascope.analysis.inference.stats import Inference, NotComputable
from jepascope.analysis.sae import Dictionary
from jepascope.cohort import encounters as cohort_encounters
from jepascope.objects import Objects, save_objects
from jepascope.pipeline.dictionary import cards
from jepascope.pipeline.dictionary.dictionaries import save_dictionary
from jepascope.store import write_table

HOW = params.Statistics(bootstrap=100, permutations=100, min_patients=10)
F = 6


def with_labels(cohort):
    index = cohort.index.assign(label_30d_per_enc=np.where(np.arange(len(cohort.index)) % 3 == 0, 1.0, 0.0))
    for g, name in enumerate(("group_anxiety", "group_opioid")):
        index[name] = carries(cohort, 40 + g)
    vocabulary = cohort.vocabulary.assign(
        token=["[CLS]", *(f"DRUG//drug {i}" for i in range(1, len(cohort.vocabulary)))]
    )
    return cohort._replace(index=index, vocabulary=vocabulary)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A cohort whose z has one axis for each of six tokens, and a dictionary of these axes."""
    root = tmp_path_factory.mktemp("cards")
    cohort = with_labels(toy_encounters(patients=900))
    z = np.stack([carries(cohort, token) for token in TOKENS], axis=1).astype(np.float32)
    for name in ("encounters", "objects", "votes", "records"):
        (root / name).mkdir()
    cohort_encounters.save(root / "encounters", cohort)
    write(root / "objects", cohort, z)
    axes = np.eye(F, dtype=np.float32)
    zero = np.zeros(F, np.float32)
    dictionary = Dictionary(axes, zero - 0.5, axes, zero, zero, 1.0, 3)
    for name in ("reference", "kept"):
        save_dictionary(root / "votes", dictionary, name)
    ballots = {"alive": True, "counts": 4, "elsewhere": 5, "reappears": 0.9, "kept": True, "voters": 4, "checkers": 5}
    write_table(root / "votes" / "votes.parquet", pd.DataFrame([ballots] * F))
    noise = pd.DataFrame({"data": ["Gaussian noise with z's covariance"], "features": [F], "kept": [0]})
    write_table(root / "votes" / "floors.parquet", noise)
    return root


TOKENS = (5, 25, 45, 65, 85, 105)


def carries(cohort, token):
    rows = np.repeat(np.arange(len(cohort.index)), np.diff(cohort.offsets))
    return np.isin(np.arange(len(cohort.index)), rows[cohort.tokens == token])


def write(folder, cohort, z):
    save_objects(folder, Objects(cohort.index, z, z, np.arange(1, len(z)), z[1:], 0 * z[1:]))


def make(world, folder, objects="objects"):
    folder.mkdir(exist_ok=True)
    cards.make_cards(folder, world / "encounters", world / "records", world / objects, world / "votes", HOW, 0)
    return cards.load_cards(folder)


def test_features_that_are_a_code_bear_its_name_and_it_holds(world, tmp_path):
    found = make(world, tmp_path / "a")
    named = dict(zip(found.features["feature"], found.features["name"], strict=True))
    assert {f: name.split(", ")[0] for f, name in named.items()} == {f: f"drug {TOKENS[f]}" for f in named}
    assert len(named) >= 4
    assert found.counts["in_nothing"] <= 1 < found.counts["enriched"]
    how = Inference(**HOW.model_dump())
    names = cards.load_names(tmp_path / "a")
    assert confirmed_share(names, how, np.random.default_rng(0)).value == 1.0
    assert cards.unnamed(found.features) == 0


def test_no_cell_of_few_patients_is_on_a_card(world, tmp_path):
    found = make(world, tmp_path / "a")
    assert found.evidence["patients"].min() >= MIN_CELL
    assert found.features["patients"].min() >= MIN_CELL
    assert not found.others["patients"].lt(MIN_CELL).any()
    assert set(found.evidence["feature"]) <= set(found.features["feature"])


def test_test_patients_have_no_part_in_choosing_codes(world, tmp_path):
    """Codes, their order and q stay when the test patients' z is another."""
    cohort = cohort_encounters.load(world / "encounters")
    z = np.stack([carries(cohort, token) for token in TOKENS], axis=1).astype(np.float32)
    test = (cohort.index["split"] == "test").to_numpy()
    z[test] = np.roll(z[test], 1, axis=1)
    (world / "moved").mkdir(exist_ok=True)
    write(world / "moved", cohort, z)
    ours, moved = make(world, tmp_path / "a"), make(world, tmp_path / "b", "moved")
    chosen = [t.evidence[t.evidence["leads"]].set_index("feature")[["title", "q", "odds_train"]] for t in (ours, moved)]
    both = chosen[0].index.intersection(chosen[1].index)
    assert chosen[0].loc[both].equals(chosen[1].loc[both])
    assert cards.unnamed(moved.features) == len(moved.features) > 2  # and names that don't hold fall


def test_a_dictionary_is_named_as_the_cards_are_and_compared_on_the_same_rows(world, tmp_path):
    make(world, tmp_path / "a")
    (tmp_path / "n").mkdir()
    cards.name_dictionary(tmp_path / "n", world / "encounters", world / "objects", world / "votes", "reference")
    ours, theirs = cards.load_names(tmp_path / "a"), cards.load_names(tmp_path / "n")
    assert np.array_equal(ours.carried, theirs.carried)
    how = Inference(**HOW.model_dump())
    assert fit_difference(ours, theirs, how, np.random.default_rng(0)).value == 0


def test_a_name_is_lost_on_test_patients_and_never_won():
    evidence = pd.DataFrame(
        {
            "title": list("abc"),
            "odds": [5.0, 9.0, 4.0],
            "low": [3.0, 5.0, 0.9],
            "bits": [2.0, 1.1, 1.0],
            "leads": [True, False, False],
        }
    )
    assert cards.given_name(evidence) == "a, b"
    assert cards.given_name(evidence.assign(odds=[1.9, 9.0, 4.0])) == cards.MIXED
    assert cards.given_name(evidence.assign(low=[0.9, 5.0, 4.0])) == cards.MIXED
    assert cards.given_name(evidence.assign(bits=[2.0, 0.9, 0.9])) == "a"
    assert cards.given_name(evidence[1:]) == cards.MIXED  # the leading code was of too few patients


def test_too_few_patients_are_not_computable(world, tmp_path):
    strict = params.Statistics(bootstrap=100, permutations=100, min_patients=5000)
    with pytest.raises(NotComputable):
        cards.make_cards(
            tmp_path, world / "encounters", world / "records", world / "objects", world / "votes", strict, 0
        )
