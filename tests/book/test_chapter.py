"""A chapter: what it refuses, what it leaves behind, when it counts as done."""

from pathlib import Path

import pytest

from jepascope.analysis.inference.stats import Estimate, NotComputable
from jepascope.book import chapter as chapter_module
from jepascope.book import standing
from jepascope.book.chapter import Chapter, open_chapter
from jepascope.book.claims import Claim, NotHere
from jepascope.book.notebooks import ChapterError, read_chapter
from jepascope.book.standing import is_current, recorded_keys
from jepascope.params import ParameterError, load_profile
from jepascope.store import StoreError, read_json, write_json
from tests.book.sources import HEAD, MEAN, PARAMETERS

SOURCE = f"""{HEAD}{MEAN}{PARAMETERS}
```{{code-cell}} python
chapter.close()
```
"""


def numbers(folder: Path, value: float) -> str:
    write_json(folder / "number.json", value)
    return "synthetic"


@pytest.fixture
def chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Chapter:
    """A chapter of its own, in a project of its own."""
    for module in (chapter_module, standing):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(chapter_module, "glue", lambda *_, **__: None)
    monkeypatch.setattr(chapter_module, "display", lambda *_: None)
    path = tmp_path / "05_one.md"
    path.write_text(SOURCE)
    return Chapter(read_chapter(path), load_profile("ci"), seed=0)


def test_an_unknown_or_misspelt_parameter_stops_a_chapter_at_its_first_cell() -> None:
    with pytest.raises(ParameterError, match="unknown parameter 'sead'; did you mean 'seeds'"):
        open_chapter("05_z_characterisation", {"profile": "ci", "seed": 0, "sead": 1})
    with pytest.raises(ParameterError, match="sae.features"):
        open_chapter("05_z_characterisation", {"profile": "ci", "seed": 0, "sae": {"features": "many"}})
    with pytest.raises(ParameterError, match="seed must be a whole number"):
        open_chapter("05_z_characterisation", {"profile": "ci", "seed": "0"})


def test_a_finished_chapter_is_current_until_its_text_parameters_or_inputs_move(chapter: Chapter) -> None:
    assert not is_current(chapter.source, chapter.params, 0)
    folder = chapter.step("numbers", numbers, 1.5)
    chapter.record("mean", read_json(folder / "number.json"))
    chapter.close()
    assert read_json(chapter.folder / "results.json")["values"] == {"mean": 1.5}
    assert is_current(chapter.source, chapter.params, 0)
    assert not is_current(chapter.source, load_profile("ci", {"sae": {"epochs": 7}}), 0)
    assert is_current(chapter.source, load_profile("ci", {"map": {"neighbours": 7}}), 0)  # a section it doesn't declare
    assert not is_current(chapter.source._replace(text="other"), chapter.params, 0)
    chapter.step("numbers", numbers, 2.5)
    assert not is_current(chapter.source, chapter.params, 0)


def test_an_edit_while_a_chapter_is_open_does_not_sign_its_results(chapter: Chapter) -> None:
    folder = chapter.step("numbers", numbers, 1.5)
    chapter.record("mean", read_json(folder / "number.json"))
    chapter.source.path.write_text(SOURCE.replace("The mean", "Their mean"))
    chapter.close()
    assert not is_current(read_chapter(chapter.source.path), chapter.params, 0)


def test_a_number_that_is_not_finite_becomes_its_reason(chapter: Chapter) -> None:
    chapter.record("mean", float("nan"), ".1f")
    assert chapter._values["mean"] == "not computable here: too little data"


def test_an_open_chapter_is_not_done(chapter: Chapter) -> None:
    chapter.step("numbers", numbers, 1.5)
    chapter.record("mean", 1.5)
    chapter.close()
    Chapter(chapter.source, chapter.params, 0)
    assert not is_current(chapter.source, chapter.params, 0)


def test_prose_that_asks_for_a_number_nobody_recorded_fails_the_chapter(chapter: Chapter) -> None:
    chapter.step("numbers", numbers, 1.5)
    with pytest.raises(ChapterError, match=r"\['mean'\], which no code recorded"):
        chapter.close()


def test_a_number_is_said_once(chapter: Chapter) -> None:
    chapter.record("mean", 1.0)
    with pytest.raises(ChapterError, match="recorded twice"):
        chapter.record("mean", 1.0)


def test_a_chapter_reads_only_what_its_header_names(chapter: Chapter) -> None:
    with pytest.raises(ChapterError, match="name it under"):
        chapter.read("01_extraction", "encounters")


def test_a_chapter_without_a_data_tier_is_refused(chapter: Chapter) -> None:
    chapter.record("mean", 1.0)
    with pytest.raises(StoreError, match="one data tier"):
        chapter.close()


def test_a_reason_takes_the_place_of_a_result_and_travels(chapter: Chapter) -> None:
    def refuse() -> None:
        raise NotComputable("3 patients, 20 needed")

    result = chapter.compute(refuse)
    assert isinstance(result, NotHere)
    assert isinstance(chapter.compute(max, result.estimate, 3), NotHere)
    assert isinstance(chapter.compute(len, {"seed 1": result}), NotHere)
    chapter.record("mean", result)
    assert chapter._values["mean"] == "not computable here: 3 patients, 20 needed"


def test_a_claim_about_another_seed_gets_a_key_of_its_own_and_that_seed_in_the_ledger(chapter: Chapter) -> None:
    found = Estimate(0.2, 0.1, 0.3, 50, 30)
    made = Claim("better", "It is better", "predictive", "above", 0.0, found, "shuffled", Estimate(0, 0, 0, 50, 30))
    chapter.claim(made)
    chapter.claim(made, seed=1)
    assert [claim["seed"] for claim in chapter._claims] == [0, 1]
    assert {"better", "better_verdict", "better_seed1"} <= recorded_keys(chapter._values, chapter._claims)
