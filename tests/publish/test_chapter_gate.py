"""The gate where pages are made: a chapter on credentialed records, and records that are treated as such."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from jepascope import params
from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book import chapter as chapter_module
from jepascope.book import standing
from jepascope.book.chapter import Chapter
from jepascope.book.claims import Claim
from jepascope.book.notebooks import read_chapter
from jepascope.cohort.records import ingest
from jepascope.cohort.synthetic import synthesize
from jepascope.params import ParameterError, load_profile
from jepascope.store import read_json, write_json

SOURCE = """# One

```{code-cell} python
:tags: [parameters]

profile = "ci"
seed = 0
```

```{code-cell} python
chapter.close()
```
"""
FLOORS = {"statistics": {"min_carriers": 11}, "extraction": {"min_patients_per_token": 11}}
COUNTS = pd.DataFrame({"group": ["anxiety", "trauma"], "patients": ["1,263", "7"], "AUROC": ["0.71", "0.66"]})


def credentialed(folder: Path) -> str:
    write_json(folder / "number.json", 1)
    return "credentialed"


def scattered() -> Figure:
    figure = Figure()
    figure.subplots().scatter(range(300), range(300))
    return figure


def empty() -> Figure:
    return Figure(figsize=(1, 1))


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Chapter, list[Any]]:
    """A chapter in a project of its own, and what it displays."""
    shown: list[Any] = []
    for module in (chapter_module, standing):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(chapter_module, "glue", lambda name, value, **_: shown.append((name, value)))
    monkeypatch.setattr(chapter_module, "display", lambda one: shown.append(one.data))
    path = tmp_path / "05_one.md"
    path.write_text(SOURCE)
    return Chapter(read_chapter(path), load_profile("ci", FLOORS), seed=0), shown


def test_a_chapter_shows_credentialed_records_in_their_safe_form_and_keeps_the_sidecars(
    opened: tuple[Chapter, list[Any]],
) -> None:
    chapter, shown = opened
    chapter.step("numbers", credentialed)
    chapter.record("patients", 1263)
    chapter.table(COUNTS, "Groups.")
    chapter.figure("cloud", scattered, caption="Rows.", alt="Rows.")
    chapter.figure("plain", empty, caption="Nothing.", alt="Nothing.")
    estimate = Estimate(0.7, 0.6, 0.8, 3877, 1263)
    chapter.claim(Claim("reads", "z reads", "predictive", "above", 0.5, estimate, "chance", None))
    chapter.close()
    text = " ".join(map(str, shown))
    assert "<td>1,265</td>" in text
    assert "<td>≤ 10</td>" in text
    assert "0.66" not in text
    assert "1263" not in text
    assert "1,263" not in text
    assert "Figure cloud: withheld" in text
    result = read_json(chapter.folder / "results.json")
    assert result["values"]["patients"] == 1265
    assert result["claims"][0]["estimate"]["n_patients"] == 1265
    kinds = [one["kind"] for one in result["disclosure"]]
    assert kinds == ["table", "figure", "provenance"]
    assert all(one["floor"] == 20 and one["code"] for one in result["disclosure"])


def test_why_a_result_is_not_here_does_not_tell_how_few_there_are(opened: tuple[Chapter, list[Any]]) -> None:
    def fails() -> None:
        raise NotComputable("7 patients, 20 needed")

    chapter, _ = opened
    assert str(chapter.compute(fails)) == "not computable here: 7 patients, 20 needed"
    chapter.step("numbers", credentialed)
    assert str(chapter.compute(fails)) == "not computable here: fewer than 20 patients, 20 needed"


def test_credentialed_records_are_not_opened_under_parameters_that_tell_of_few(
    opened: tuple[Chapter, list[Any]],
) -> None:
    chapter, _ = opened
    loose = Chapter(chapter.source, load_profile("ci"), seed=0)
    with pytest.raises(ParameterError, match="min_carriers = 5"):
        loose.step("numbers", credentialed)


def test_records_that_may_be_somebodys_are_held_to_the_strict_rules_before_anything_is_read(
    opened: tuple[Chapter, list[Any]],
) -> None:
    chapter, _ = opened
    assert not chapter.shown.strict
    mimic = {"source": {"kind": "mimic", "root": "somewhere"}}
    assert Chapter(chapter.source, load_profile("ci", mimic), seed=0).shown.strict


def test_open_records_can_be_treated_as_credentialed_and_nothing_the_other_way_round(tmp_path: Path) -> None:
    synthesize(tmp_path / "tree", params.Synthetic(patients=20))
    for treat_as, tier in ((None, "synthetic"), ("credentialed", "credentialed")):
        source = params.Source(kind="mimic", root=str(tmp_path), treat_as=treat_as)
        assert ingest(tmp_path / tier, tmp_path / "tree", source, params.Extraction()).tier == tier
    for wrong in ({"kind": "mimic", "root": "x", "treat_as": "synthetic"}, {"treat_as": "credentialed"}):
        with pytest.raises(ValueError, match="treat_as"):
            params.Source(**wrong)
