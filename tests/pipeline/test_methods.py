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
    gate = methods.Gate("alarms", 0.10, "alarms")
    assert methods.by_cohorts(gate, rows(0.10))["verdict"] == "certified"
    lost = methods.by_cohorts(gate, rows(0.11))
    assert lost["verdict"] == "lost"
    assert lost["measured"] == "0.110 in 100 cohorts"
    assert lost["power"] == "0.96 at a loading of 0.8"


def test_a_gate_on_a_value_counts_both_signs() -> None:
    assert methods.by_cohorts(methods.Gate("value", 0.02, "CKA"), rows(0.0, -0.03))["verdict"] == "lost"


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
    write_json(tmp_path / "results.json", {"claims": [claim("shock_in_z", "holds")]})
    shape_power.measure_shape_power(
        folder, encounters, params.Certification(cohorts=1), params.Statistics(bootstrap=20, permutations=20), 0
    )
    methods.certificates(folder, folder, folder, tmp_path / "results.json")
    found = read_json(folder / "certificates.json")
    assert found.keys() == {*methods.GATES, methods.SHAPE, *methods.PROMISES}
    assert found["linear probes"]["verdict"] == "certified"


def trials(gain: float, found: float) -> pd.DataFrame:
    """Ten cohorts without and ten with an effect; `found` of the first alarm."""
    nothing = {"what": "gain", "effect": 0.0, "value": gain}
    rows = [nothing | {"found": i < 10 * found} for i in range(10)]
    return pd.DataFrame(rows + [{"what": "gain", "effect": 2.0, "value": 0.05, "found": True}] * 10)


def test_the_shape_test_loses_its_certificate_by_a_gain_or_by_alarms_where_no_shape_acts() -> None:
    assert methods.of_shape(trials(0.005, 0.1))["verdict"] == "certified"
    assert methods.of_shape(trials(-0.02, 0.0))["verdict"] == "lost"
    assert methods.of_shape(trials(0.005, 0.2))["verdict"] == "lost"
    assert methods.of_shape(trials(np.nan, 0.0))["verdict"] == "not computable here"
