"""The MIMIC-IV demo, real records: chapters run, and say what eleven test patients can't support."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope.book.notebooks import read_book
from jepascope.store import read_json
from tests.conftest import CLAIMS, copy_project, jepascope

pytestmark = pytest.mark.demo
# Claims about the seventy training patients, who are enough to be searched and voted on.
ABOUT_TRAINING = {"clusters_come_back", "noise_keeps_none", "returns_more_than_twin"}
# How often something is drawn, and how long what isn't the model is fitted, as in `ci`: what eleven patients can't
# support, they can't with more of either.
FEW = """
arms:
  epochs: 4
prediction:
  budget: 2
  trees: 20
  supervised_epochs: 2
sae:
  epochs: 5
statistics:
  bootstrap: 100
  permutations: 100
certification:
  cohorts: 3
  futures: 4
  rows: 60
"""


@pytest.fixture(scope="module")
def demo_project(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the whole book has run on the demo, for one seed."""
    project = copy_project(tmp_path_factory.mktemp("demo") / "project")
    profile = project / "params" / "mimic_demo.yaml"
    profile.write_text(profile.read_text().replace("data/mimic-iv-demo", str(demo)) + FEW)
    done = jepascope(project, "run", "--profile", "mimic_demo", "--seeds", "0")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-4000:]
    return project / "runs" / "mimic_demo"


def test_all_encounters_are_there_and_stamped_as_demo(demo_project: Path) -> None:
    result = read_json(demo_project / "all" / "01_extraction" / "results.json")
    assert result["tier"] == "demo"
    assert result["values"]["encounters"] == 275
    assert result["values"]["patients"] == 100


def test_a_claim_that_too_few_patients_carry_is_not_computed_and_the_page_says_why(demo_project: Path) -> None:
    for chapter in sorted(set(CLAIMS.values())):
        folder = demo_project / ("0" if read_book().find(chapter).per_seed else "all")
        claims = read_json(folder / chapter / "results.json")["claims"]
        assert claims
        told = {claim["id"] for claim in claims if not claim["verdict"].startswith("not computable here: ")}
        assert (chapter, told - ABOUT_TRAINING) == (chapter, set())
    page = (demo_project / "0" / "05_z_characterisation" / "executed.ipynb").read_text()
    assert "Figure probe groups: not computable here: " in page
    page = (demo_project / "0" / "04b_prediction" / "executed.ipynb").read_text()
    assert "Figure who wins: not computable here: " in page
    assert "not computable here: no AUROC of the next thirty days" in page  # the alarm, too


def test_no_identifier_of_a_patient_or_an_admission_is_on_a_page(demo_project: Path, demo: Path) -> None:
    import gzip

    with gzip.open(demo / "hosp" / "admissions.csv.gz", "rt") as file:
        identifiers = {cell for line in list(file)[1:] for cell in line.split(",")[:2]}
    for page in demo_project.glob("*/*/executed.ipynb"):
        text = page.read_text()
        assert not [identifier for identifier in identifiers if identifier in text], page
