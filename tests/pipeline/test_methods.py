"""Methods on cohorts of known content: the step examines them, and its tables decide on certificates."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures_encounters import toy_encounters

from jepascope import params
from jepascope.analysis.methods import false_findings
from jepascope.analysis.methods.toy_cohorts import toy_cohort
from jepascope.cohort import encounters as cohort_encounters
from jepascope.pipeline.certification import certificates
from jepascope.pipeline.methods import known_cohorts as methods
from jepascope.pipeline.methods import shape_power
from jepascope.store import read_json, write_json


@pytest.fixture
def encounters(tmp_path: Path) -> Path:
    folder = tmp_path / "encounters"
    folder.mkdir()
    cohort_encounters.save(folder, toy_encounters(patients=60))
    return folder


def test_the_step_examines_cohorts_with_the_records_lengths_and_decides(
    tmp_path: Path, encounters: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(false_findings, "toy_cohort", partial(toy_cohort, D=12, F=30, L=4, C=4))
    monkeypatch.setattr(methods, "STRENGTHS", (0.4, 0.8))
    folder = tmp_path / "examined"
    folder.mkdir()
    methods.examine_methods(folder, encounters, params.Certification(cohorts=2), 0)
    table = methods.load_alarms(folder)
    assert set(table["shared"]) == {0.0, *methods.STRENGTHS}
    assert np.isfinite(table["value"]).all()
    shocks = [
        {"id": name, "verdict": "holds", "estimate": {"value": 0.6}, "null": {"value": 0.5}, "seed": 0}
        for name in ("shock_in_z", "shock_not_in_z_hat")
    ]
    write_json(tmp_path / "results.json", {"claims": shocks})
    shape_power.measure_shape_power(
        folder, encounters, params.Certification(cohorts=1), params.Statistics(bootstrap=20, permutations=20), 0
    )
    certificates.certificates(folder, folder, folder, tmp_path / "results.json")
    found = read_json(folder / "certificates.json")
    assert found.keys() == {*certificates.GATES, certificates.SHAPE, *certificates.PROMISES}
    assert found["linear probes"]["verdict"] == "certified"
    for name in (*certificates.GATES, certificates.SHAPE):  # two cohorts, and one, tell nothing of one alarm in ten
        assert found[name]["verdict"] == "not computable here"
    listed = certificates.load_certificates(folder).set_index("method")
    assert listed.loc["block sign-flips", "on"] == "2 cohorts of nothing, 4 with a factor"
