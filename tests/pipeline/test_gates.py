"""Certificates: gates decide on cohorts of nothing, promises on claims of all seeds; a broken method loses its own."""

import re
from functools import partial

import numpy as np
import pandas as pd
import pytest
from tests.conftest import CLAIMS

from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.methods import false_findings as ff
from jepascope.analysis.methods.toy_cohorts import toy_cohort
from jepascope.book import certified
from jepascope.book.notebooks import read_book
from jepascope.pipeline.certification import certificates
from jepascope.pipeline.methods import shape_power


def rows(alarms: float, value: float = 0.0, cohorts: int = 100) -> pd.DataFrame:
    record = {"method": "m", "quantity": "q", "largest": 1.0, "low": 0.0, "high": 1.0, "value": value}
    return pd.DataFrame(
        [
            record | {"shared": 0.0, "cohorts": cohorts, "alarms": alarms},
            record | {"shared": 0.8, "cohorts": 25, "alarms": 0.96},
        ]
    )


def test_a_method_that_alarms_in_too_many_empty_cohorts_loses_its_certificate() -> None:
    for gate in (certificates.Gate(), certificates.Gate("CKA", -0.02, 0.02)):  # whatever its value
        assert certificates.by_cohorts(gate, rows(0.10))["verdict"] == "certified"
        assert certificates.by_cohorts(gate, rows(0.11))["verdict"] == "lost"
    lost = certificates.by_cohorts(certificates.Gate(), rows(0.11))
    assert lost["measured"] == "0.11 in 100 cohorts"
    assert lost["power"] == "0.96 at a loading of 0.8"
    assert (
        certificates.by_cohorts(certificates.Gate("CKA"), rows(0.0, 0.015))["measured"]
        == "0.015 and 0.00 in 100 cohorts"
    )


def test_a_similarity_may_err_to_neither_side_and_a_prediction_of_strangers_may_be_worse_than_the_mean() -> None:
    for value, alike, foretold in ((0.03, "lost", "lost"), (-0.03, "lost", "certified"), (0.005,) + 2 * ("certified",)):
        for name, verdict in (("CKA between patients", alike), ("nested lasso by patient", foretold)):
            assert certificates.by_cohorts(certificates.GATES[name], rows(0.0, value))["verdict"] == verdict


def claim(name: str, verdict: str, estimate: object = None, null: float = 0.5) -> dict[str, object]:
    number = {"value": 1.0} if estimate is None else estimate
    return {"id": name, "verdict": verdict, "estimate": number, "null": {"value": null}}


def test_a_promise_must_be_kept_in_every_seed_and_is_not_judged_without_numbers() -> None:
    promise = certificates.Promise("words", hold=("a", "b"))
    held = [claim("a", "holds"), claim("b", "holds"), claim("other", "does not hold")]
    assert certificates.by_claims(promise, held)["verdict"] == "certified"
    lost = certificates.by_claims(promise, [*held, claim("a", "does not hold")])
    assert (lost["verdict"], lost["measured"]) == ("lost", "kept 2 of 3 times")
    missing = [claim("a", "not computable here", "not computable here: real records")]
    assert certificates.by_claims(promise, missing)["verdict"] == "not computable here"
    # Half a promise is none: b was computed in no seed. But what is broken is broken.
    assert certificates.by_claims(promise, [*missing, claim("a", "holds")])["verdict"] == "not computable here"
    assert certificates.by_claims(promise, [*missing, claim("a", "does not hold")])["verdict"] == "lost"
    assert certificates.by_claims(promise, [*held, *missing])["verdict"] == "certified"


def test_a_gate_on_nothing_is_not_judged_where_the_null_could_not_be_run() -> None:
    promise, entry = certificates.Promise("words", empty=("a",)), claim("a", "not licensed: control 'noise' missing")
    for null in (None, "not computable here: too few patients"):
        assert certificates.by_claims(promise, [entry | {"null": null}])["verdict"] == "not computable here"
    assert certificates.by_claims(promise, [claim("a", "holds", null=0.0)])["verdict"] == "certified"


def test_a_gate_on_an_estimate_asks_for_its_value_and_a_gate_on_nothing_for_the_null() -> None:
    promise = certificates.Promise("words", least=(("a", 0.8),), empty=("b",))
    high, low = ({"value": value} for value in (0.8, 0.79))
    assert certificates.keeps(promise, claim("a", "does not hold", high))
    assert not certificates.keeps(promise, claim("a", "holds", low))
    assert certificates.keeps(promise, claim("b", "does not hold", null=0.0))
    assert not certificates.keeps(promise, claim("b", "holds", null=0.01))


def test_promises_name_claims_that_chapters_make_and_headers_name_methods_that_are_certified() -> None:
    for promise in certificates.PROMISES.values():
        assert promise.claims() | ({promise.recovers} - {""}) <= set(CLAIMS)
    named = {method for chapter in read_book().chapters for method in chapter.methods}
    assert named <= {*certificates.GATES, certificates.SHAPE, *certificates.PROMISES}


def trials(gain: float, found: float, order: float = 0.0, cohorts: int = 10) -> pd.DataFrame:
    """So many cohorts without and ten with an effect; `found` and `order` are shares of alarms without."""
    rows = []
    for i in range(cohorts):
        nothing = {"effect": 0.0, "value": gain}
        rows += [
            nothing | {"what": "gain", "found": i < cohorts * found},
            nothing | {"what": "order", "found": i < cohorts * order},
        ]
    rows += [{"what": what, "effect": 2.0, "value": 0.05, "found": True} for what in 10 * shape_power.WHAT]
    return pd.DataFrame(rows)


def test_the_shape_test_loses_its_certificate_by_a_gain_or_by_alarms_where_no_shape_acts() -> None:
    kept = certificates.of_shape(trials(0.005, 0.1))
    assert kept["verdict"] == "certified"
    assert kept["measured"] == "shape 0.0050 and 0.10, order 0.0050 and 0.00 in 10 cohorts"
    assert kept["on"] == "10 planted cohorts without shape, 10 with it"
    assert certificates.of_shape(trials(-0.02, 0.0))["verdict"] == "lost"
    assert certificates.of_shape(trials(0.005, 0.2))["verdict"] == "lost"
    assert certificates.of_shape(trials(0.005, 0.0, order=0.2))["verdict"] == "lost"
    assert certificates.of_shape(trials(np.nan, 0.0))["verdict"] == "not computable here"


def test_cohorts_that_could_not_carry_the_shape_test_do_not_make_it_silent() -> None:
    """Three alarms in ten cohorts are too many; in forty, with thirty that were never asked, they would be allowed."""
    table = trials(0.005, 0.075, cohorts=40)
    assert certificates.of_shape(table)["verdict"] == "certified"
    refused = (table["effect"] == 0) & (table.index >= 20)  # all but the first ten cohorts
    table.loc[refused, "value"] = np.nan
    found = certificates.of_shape(table)
    assert found["verdict"] == "lost"
    assert found["measured"].endswith("in 10 cohorts")


def test_too_few_cohorts_decide_nothing_whatever_they_show() -> None:
    """One alarm among nine is bad luck in two runs of five, and none among nine shows no tenth."""
    for alarms in (0.0, 1 / 9):
        assert certificates.by_cohorts(certificates.Gate(), rows(alarms, cohorts=9))["verdict"] == "not computable here"
    assert certificates.by_cohorts(certificates.Gate(), rows(0.1, cohorts=10))["verdict"] == "certified"


# The gates as the design has them: whoever moves one meets this table.
DESIGN = {
    "block sign-flips": (-np.inf, np.inf),
    "CKA between patients": (-0.02, 0.02),
    "nested lasso by patient": (-np.inf, 0.01),  # tier A
    "enrichment by patient max-T": (-np.inf, 0.005),  # tier B: no pair, in whole per cent
    "enrichment by patient score": (-np.inf, 0.005),
    "search over features by patient max-T": (-np.inf, np.inf),  # tier C: calibrated
}


def test_the_gates_stand_where_the_design_put_them() -> None:
    assert certificates.MOST_ALARMS == 0.10
    assert {name: (gate.least, gate.most) for name, gate in certificates.GATES.items()} == DESIGN
    assert certificates.SHAPE_GATE == 0.01
    vote = certificates.PROMISES["stability vote"]
    assert vote.least == (("kept_reappear", 0.80),)
    assert vote.most == (("noise_keeps_none", 0.0),)
    shock = certified.READINGS["shock_not_in_z_hat"]
    assert (shock.holds, shock.bound) == ("within", (0.47, 0.53))
    assert (certified.READINGS["shock_in_z"].holds, certified.READINGS["shock_in_z"].bound) == ("above", 0.5)
    assert set(certificates.PROMISES["linear probes"].hold) == {"shock_in_z", "shock_not_in_z_hat"}
    assert certificates.PROMISES["residual of the labels"].hold == ("bridge_unlabelled_is_left",)
    assert certificates.PROMISES["clusters that come back"].empty == ("clusters_come_back",)


def test_the_blind_spot_maps_claims_have_the_bounds_that_its_certificate_names() -> None:
    """Their bounds are written in the chapter, where the claims are made."""
    code = read_book().find("08b").code
    bounds = dict(re.findall(r'claim\("(\w+)",.*_replace\(.*?bound=([^)]*\)?)\)\)', code))
    assert bounds["injected_blindness_is_found"] == "0.9"
    assert set(certificates.PROMISES["blind-spot map"].hold) <= set(CLAIMS)


@pytest.mark.parametrize("name", certificates.PROMISES)
def test_a_promise_is_lost_by_each_of_its_claims_alone(name: str) -> None:
    promise = certificates.PROMISES[name]
    good = {"verdict": "holds", "estimate": {"value": 1.0}, "null": {"value": 0.0}, "seed": 0, "statement": "s"}
    entries = {one: good | {"id": one} for one in promise.claims()}
    entries |= {one: entries[one] | {"estimate": {"value": most}} for one, most in promise.most}
    assert certificates.by_claims(promise, entries.values())["verdict"] == "certified"
    for one in promise.claims():
        bad = entries[one] | {"verdict": "does not hold", "null": {"value": 0.01}}
        bad["estimate"] = {"value": 0.01 if one in dict(promise.most) else 0.79}
        assert certificates.by_claims(promise, [*entries.values(), bad | {"seed": 1}])["verdict"] == "lost", one


def test_a_certificate_says_what_it_was_measured_on_and_how_much_is_recovered() -> None:
    promise = certificates.Promise("words", hold=("a",), recovers="a")
    seeds = [claim("a", "holds", {"value": value}) | {"seed": seed} for seed, value in enumerate((0.91, 0.87))]
    found = certificates.by_claims(promise, [one | {"statement": "A is found (squared cosine)"} for one in seeds])
    assert (found["power"], found["on"]) == ("0.87 to 0.91: squared cosine", "models of 2 seeds")
    assert certificates.by_claims(promise, [])["power"] == ""
    assert certificates.by_cohorts(certificates.Gate(), rows(0.0))["on"] == "100 cohorts of nothing, 25 with a factor"


FEW = Inference(bootstrap=100, permutations=60)


def certificates_of(monkeypatch: pytest.MonkeyPatch, broken: bool) -> dict[str, str]:
    """The verdicts of all gated methods on ten cohorts of nothing, each done by rows where it is broken."""
    monkeypatch.setattr(ff, "toy_cohort", partial(toy_cohort, D=20, F=100, L=8, C=8))
    done = {name: m._replace(by_patients=m.by_rows) if broken else m for name, m in ff.CERTIFIED.items()}
    monkeypatch.setattr(ff, "CERTIFIED", done)
    lengths = np.random.default_rng(0).integers(3, 12, 60)
    table = ff.alarms(np.random.default_rng(1), (0.0,), (certificates.FEWEST,), FEW, lengths)
    return {
        name: certificates.by_cohorts(gate, table[table["method"] == name])["verdict"]
        for name, gate in certificates.GATES.items()
    }


def test_methods_are_certified_by_patients_and_lose_their_certificate_by_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as sound:
        assert certificates_of(sound, broken=False) == dict.fromkeys(certificates.GATES, "certified")
    assert certificates_of(monkeypatch, broken=True) == dict.fromkeys(certificates.GATES, "lost")


def test_a_shape_test_without_the_records_length_in_its_base_loses_its_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shape_power, "length_features", lambda k, span, gap: np.zeros((len(k), 1)))
    monkeypatch.setattr(shape_power, "REFITS", 2)
    how = Inference(bootstrap=50, permutations=20, folds=3)
    found = certificates.of_shape(shape_power.shape_trials(1000, (0.0,), certificates.FEWEST, how, 0))
    assert found["verdict"] == "lost"
