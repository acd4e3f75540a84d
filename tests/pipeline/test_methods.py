"""Certificates of methods: gates decide on empty cohorts, promises on claims of all seeds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.conftest import CLAIMS
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.book.notebooks import read_book
from jepascope.cohort import encounters as cohort_encounters
from jepascope.pipeline import methods, shape_power
from jepascope.store import read_json, write_json


@pytest.fixture
def encounters(tmp_path: Path) -> Path:
    folder = tmp_path / "encounters"
    folder.mkdir()
    cohort_encounters.save(folder, toy_encounters(patients=60))
    return folder


def rows(alarms: float, value: float = 0.0) -> pd.DataFrame:
    record = {"method": "m", "quantity": "q", "largest": 1.0, "low": 0.0, "high": 1.0, "value": value}
    return pd.DataFrame(
        [
            record | {"shared": 0.0, "cohorts": 100, "alarms": alarms},
            record | {"shared": 0.8, "cohorts": 25, "alarms": 0.96},
        ]
    )


def test_a_method_that_alarms_in_too_many_empty_cohorts_loses_its_certificate() -> None:
    for gate in (methods.Gate(), methods.Gate("CKA", -0.02, 0.02)):  # whatever its value
        assert methods.by_cohorts(gate, rows(0.10))["verdict"] == "certified"
        assert methods.by_cohorts(gate, rows(0.11))["verdict"] == "lost"
    lost = methods.by_cohorts(methods.Gate(), rows(0.11))
    assert lost["measured"] == "0.11 in 100 cohorts"
    assert lost["power"] == "0.96 at a loading of 0.8"
    assert methods.by_cohorts(methods.Gate("CKA"), rows(0.0, 0.015))["measured"] == "0.015 and 0.00 in 100 cohorts"


def test_a_similarity_may_err_to_neither_side_and_a_prediction_of_strangers_may_be_worse_than_the_mean() -> None:
    for value, alike, foretold in ((0.03, "lost", "lost"), (-0.03, "lost", "certified"), (0.005,) + 2 * ("certified",)):
        for name, verdict in (("CKA between patients", alike), ("nested lasso by patient", foretold)):
            assert methods.by_cohorts(methods.GATES[name], rows(0.0, value))["verdict"] == verdict


def claim(name: str, verdict: str, estimate: object = None, null: float = 0.5) -> dict[str, object]:
    number = {"value": 1.0} if estimate is None else estimate
    return {"id": name, "verdict": verdict, "estimate": number, "null": {"value": null}}


def test_a_promise_must_be_kept_in_every_seed_and_is_not_judged_without_numbers() -> None:
    promise = methods.Promise("words", hold=("a", "b"))
    held = [claim("a", "holds"), claim("b", "holds"), claim("other", "does not hold")]
    assert methods.by_claims(promise, held)["verdict"] == "certified"
    lost = methods.by_claims(promise, [*held, claim("a", "does not hold")])
    assert (lost["verdict"], lost["measured"]) == ("lost", "kept 2 of 3 times")
    missing = [claim("a", "not computable here", "not computable here: real records")]
    assert methods.by_claims(promise, missing)["verdict"] == "not computable here"
    # Half a promise is none: b was computed in no seed. But what is broken is broken.
    assert methods.by_claims(promise, [*missing, claim("a", "holds")])["verdict"] == "not computable here"
    assert methods.by_claims(promise, [*missing, claim("a", "does not hold")])["verdict"] == "lost"
    assert methods.by_claims(promise, [*held, *missing])["verdict"] == "certified"


def test_a_gate_on_nothing_is_not_judged_where_the_null_could_not_be_run() -> None:
    promise, entry = methods.Promise("words", empty=("a",)), claim("a", "not licensed: control 'noise' missing")
    for null in (None, "not computable here: too few patients"):
        assert methods.by_claims(promise, [entry | {"null": null}])["verdict"] == "not computable here"
    assert methods.by_claims(promise, [claim("a", "holds", null=0.0)])["verdict"] == "certified"


def test_a_gate_on_an_estimate_asks_for_its_value_and_a_gate_on_nothing_for_the_null() -> None:
    promise = methods.Promise("words", least=(("a", 0.8),), empty=("b",))
    high, low = ({"value": value} for value in (0.8, 0.79))
    assert methods.keeps(promise, claim("a", "does not hold", high))
    assert not methods.keeps(promise, claim("a", "holds", low))
    assert methods.keeps(promise, claim("b", "does not hold", null=0.0))
    assert not methods.keeps(promise, claim("b", "holds", null=0.01))


def test_promises_name_claims_that_chapters_make_and_headers_name_methods_that_are_certified() -> None:
    for promise in methods.PROMISES.values():
        assert {*promise.hold, *promise.empty, *dict(promise.least)} <= set(CLAIMS)
    named = {method for chapter in read_book().chapters for method in chapter.methods}
    assert named <= {*methods.GATES, methods.SHAPE, *methods.PROMISES}


def test_the_step_examines_cohorts_with_the_records_lengths_and_decides(tmp_path: Path, encounters: Path) -> None:
    folder = tmp_path / "examined"
    folder.mkdir()
    methods.examine_methods(folder, encounters, params.Certification(cohorts=2), 0)
    table = methods.load_alarms(folder)
    assert set(table["shared"]) == {0.0, *methods.STRENGTHS}
    assert np.isfinite(table["value"]).all()
    shocks = [claim(name, "holds") for name in ("shock_in_z", "shock_not_in_z_hat")]
    write_json(tmp_path / "results.json", {"claims": shocks})
    shape_power.measure_shape_power(
        folder, encounters, params.Certification(cohorts=1), params.Statistics(bootstrap=20, permutations=20), 0
    )
    methods.certificates(folder, folder, folder, tmp_path / "results.json")
    found = read_json(folder / "certificates.json")
    assert found.keys() == {*methods.GATES, methods.SHAPE, *methods.PROMISES}
    assert found["linear probes"]["verdict"] == "certified"


def trials(gain: float, found: float, order: float = 0.0) -> pd.DataFrame:
    """Ten cohorts without and ten with an effect; `found` and `order` are shares of alarms without."""
    rows = []
    for i in range(10):
        nothing = {"effect": 0.0, "value": gain}
        rows += [
            nothing | {"what": "gain", "found": i < 10 * found},
            nothing | {"what": "order", "found": i < 10 * order},
        ]
        rows += [{"what": what, "effect": 2.0, "value": 0.05, "found": True} for what in shape_power.WHAT]
    return pd.DataFrame(rows)


def test_the_shape_test_loses_its_certificate_by_a_gain_or_by_alarms_where_no_shape_acts() -> None:
    kept = methods.of_shape(trials(0.005, 0.1))
    assert kept["verdict"] == "certified"
    assert kept["measured"] == "shape 0.0050 and 0.10, order 0.0050 and 0.00 in 10 cohorts"
    assert methods.of_shape(trials(-0.02, 0.0))["verdict"] == "lost"
    assert methods.of_shape(trials(0.005, 0.2))["verdict"] == "lost"
    assert methods.of_shape(trials(0.005, 0.0, order=0.2))["verdict"] == "lost"
    assert methods.of_shape(trials(np.nan, 0.0))["verdict"] == "not computable here"


def test_cohorts_that_could_not_carry_the_shape_test_do_not_make_it_silent() -> None:
    """One alarm in three cohorts is one too many; in ten, with seven that were never asked, it would be allowed."""
    table = trials(0.005, 0.1)
    refused = (table["effect"] == 0) & (table.index >= 12)  # all but the first three cohorts
    table.loc[refused, "value"] = np.nan
    found = methods.of_shape(table)
    assert found["verdict"] == "lost"
    assert found["measured"].endswith("in 3 cohorts")
