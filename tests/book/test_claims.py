"""Claims: the verdict follows from interval, rule and null, and from nothing else."""

import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book.claims import Claim, NotHere, differing, heterogeneity, interval, plain


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, n_rows=100, n_patients=40)


def claim(holds: str, bound, low: float, high: float, null: float | None = 0.0) -> Claim:
    held_against = None if null is None else estimate(null, null, null)
    return Claim(
        "x", "X is so", "predictive", holds, bound, estimate((low + high) / 2, low, high), "shuffled", held_against
    )


@pytest.mark.parametrize(
    ("holds", "bound", "low", "high", "null", "verdict"),
    [
        ("above", 0.0, 0.1, 0.3, 0.0, "holds"),
        ("above", 0.0, -0.1, 0.3, 0.0, "does not hold"),
        ("above", 0.0, 0.1, 0.3, 0.2, "does not hold"),  # clears the bound and not the null
        ("below", 0.5, 0.1, 0.3, 0.5, "holds"),
        ("below", 0.2, 0.1, 0.3, 0.5, "does not hold"),
        ("within", (0.47, 0.53), 0.48, 0.52, 0.5, "holds"),
        ("within", (0.47, 0.53), 0.48, 0.54, 0.5, "does not hold"),  # a wide interval shows nothing
        ("above", 0.0, 0.1, 0.3, None, "not licensed: control 'shuffled' missing"),
    ],
)
def test_a_verdict_by_hand(holds, bound, low, high, null, verdict) -> None:
    assert claim(holds, bound, low, high, null).verdict() == verdict


def test_a_claim_without_data_says_so_and_stays_plain_json() -> None:
    missing = NotHere("3 patients, 20 needed")
    made = Claim("x", "X is so", "predictive", "above", 0.0, missing, "shuffled", missing)
    assert made.verdict() == "not computable here: 3 patients, 20 needed"
    assert made.entry(seed=1)["estimate"] == "not computable here: 3 patients, 20 needed"


def test_what_is_not_here_absorbs_whatever_is_asked_of_it() -> None:
    missing = NotHere("why")
    assert str(missing.table["z"].mean(axis=0)[0]) == "not computable here: why"
    with pytest.raises(TypeError, match="not iterable"):
        list(missing)
    with pytest.raises(AttributeError):
        missing._private  # noqa: B018  (protocols of Python must not be absorbed)


def test_an_estimate_is_written_with_its_interval() -> None:
    assert interval(estimate(0.734, 0.6, 0.75)) == "0.73 [0.60, 0.75]"
    assert interval(estimate(-0.0049, -0.015, 0.004)) == "-0.005 [-0.015, 0.004]"
    assert interval(None) == "—"
    assert plain(estimate(0.5, 0.4, 0.6)) == {"value": 0.5, "low": 0.4, "high": 0.6, "n_rows": 100, "n_patients": 40}


def test_heterogeneity_by_hand() -> None:
    rows = [
        {"id": "a", "statement": "a", "value": value, "low": value - 1.96, "high": value + 1.96, "verdict": verdict}
        for value, verdict in ((1.0, "holds"), (3.0, "does not hold"))
    ]
    summary = heterogeneity(pd.DataFrame(rows), level=0.95).iloc[0]
    assert summary["mean"] == 2.0
    assert summary["verdict"] == "differs"
    assert summary["sd / se"] == pytest.approx(2**0.5, rel=1e-4)
    assert summary["I²"].startswith("0.50 [0.00, 0.")  # Q = 2, one degree of freedom
    assert summary["q"] == pytest.approx(0.157, abs=1e-3)


def test_an_interval_without_width_leaves_heterogeneity_unknown() -> None:
    rows = [{"id": "a", "statement": "a", "value": v, "low": v, "high": v, "verdict": "holds"} for v in (0.0, 1.0)]
    summary = heterogeneity(pd.DataFrame(rows), level=0.95).iloc[0]
    assert summary["I²"] == "—"
    assert pd.isna(summary["q"])
    assert pd.isna(summary["sd / se"])


def test_claims_that_hold_in_one_seed_only_are_told_apart_from_those_that_agree() -> None:
    rows = [("a", 0, "holds"), ("a", 1, "does not hold"), ("b", 0, "holds"), ("b", 1, "holds")]
    ledger = pd.DataFrame(rows, columns=["id", "seed", "verdict"]).assign(value=0.5)
    assert list(differing(ledger)["id"]) == ["a", "a"]
    with pytest.raises(NotComputable, match="same verdict in all seeds"):
        differing(ledger[ledger["id"] == "b"])
    missing = pd.DataFrame([("a", 2, "not computable here: few patients")], columns=["id", "seed", "verdict"])
    with pytest.raises(NotComputable):
        differing(pd.concat([ledger[ledger["id"] == "b"], missing.assign(id="b", value=float("nan"))]))


def test_two_claims_of_the_same_words_stay_two_in_the_comparison_of_seeds() -> None:
    rows = [(name, "X is so", seed, value) for name, value in (("a", 0.1), ("b", 0.9)) for seed in (0, 1)]
    ledger = pd.DataFrame(rows, columns=["id", "statement", "seed", "value"])
    ledger = ledger.assign(low=ledger["value"] - 0.05, high=ledger["value"] + 0.05, verdict="holds")
    assert list(heterogeneity(ledger, 0.95)["mean"]) == pytest.approx([0.1, 0.9])
