"""Around the scanner: the filter of identifiers, the manifest, the commands, commits, and the guard of a kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from jepascope.analysis.stats import Estimate
from jepascope.book.claims import NotHere
from jepascope.params import ParameterError, Profile
from jepascope.publish import command, guard, manifest
from jepascope.publish.check import check
from jepascope.publish.disclosure import Disclosure, check_floors
from jepascope.publish.id_filter import _places, build_filter, filter_of, load_filter, save_filter
from jepascope.publish.staged import check_staged
from jepascope.publish.tree import read_tree
from jepascope.store import StoreError, read_json, write_json, write_table
from tests.publish.trees import IDS, SUBJECT, figure, png, table, write_page, write_tree


def test_the_filter_holds_every_identifier_and_next_to_nothing_else() -> None:
    ids = np.random.default_rng(0).choice(10_000_000, 2000, replace=False) + 10_000_000
    held = build_filter(ids)
    assert all(held.holds(int(number)) for number in ids)
    others = set(range(30_000_000, 30_020_000))
    assert not any(held.holds(number) for number in others)


def test_a_number_has_as_many_places_in_the_filter_as_there_are_hashes() -> None:
    """A step that shares a factor with the filter's size would come back to where it was, and ring for strangers."""
    held = build_filter(range(10_000_000, 10_003_607), salt=bytes(16))
    places = [_places(held.salt, number, held.hashes, 8 * len(held.bits)) for number in range(30_000_000, 30_020_000)]
    assert all(len(set(found)) == held.hashes for found in places)


def test_the_filter_is_salted_holds_no_number_and_comes_back_from_its_file(tmp_path: Path) -> None:
    first, second = build_filter([SUBJECT]), build_filter([SUBJECT])
    assert first.salt != second.salt
    assert not np.array_equal(first.bits, second.bits)
    save_filter(tmp_path / "ids.safetensors", first)
    loaded = load_filter(tmp_path / "ids.safetensors")
    assert loaded.holds(SUBJECT)
    assert not loaded.holds(SUBJECT + 1)
    assert str(SUBJECT).encode() not in (tmp_path / "ids.safetensors").read_bytes()


def test_identifiers_too_short_to_be_told_from_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="can't be told from a count"):
        build_filter([SUBJECT, 417])


def test_the_filter_of_an_extraction_has_patients_and_admissions(tmp_path: Path) -> None:
    write_table(tmp_path / "index.parquet", pd.DataFrame({"subject_id": [SUBJECT], "hadm_id": [20_000_777]}))
    assert filter_of(tmp_path).holds(20_000_777)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose credentialed cohort has one patient."""
    folder = tmp_path / "runs" / "tiny" / "all" / "01_extraction" / "encounters"
    write_table(folder / "index.parquet", pd.DataFrame({"subject_id": [SUBJECT]}))
    write_json(folder / "tier.json", {"tier": "credentialed"})
    monkeypatch.setattr(command, "project_root", lambda: tmp_path)
    return tmp_path


def test_a_checked_tree_is_published_byte_by_byte_and_only_with_a_reviewer(project: Path, tmp_path: Path) -> None:
    html = write_tree(tmp_path / "html", "credentialed")
    with pytest.raises(StoreError, match="no manifest"):
        command.publish(html, tmp_path / "out")
    assert command.publish_check(html) == 0
    assert not (html / "manifest.json").exists()
    assert command.publish_check(html, "A Reviewer") == 0
    told = read_json(html / "manifest.json")
    assert (told["tier"], told["rules"], told["reviewer"]) == ("credentialed", "1", "A Reviewer")
    assert command.publish(html, tmp_path / "out") == 0
    assert manifest.hashes(tmp_path / "out") == told["files"] == manifest.hashes(html)
    with pytest.raises(StoreError, match="isn't empty"):
        command.publish(html, tmp_path / "out")


@pytest.mark.parametrize("change", ["changed", "added", "gone", "rules", "reviewer"])
def test_a_tree_that_is_not_its_manifests_is_not_published(project: Path, tmp_path: Path, change: str) -> None:
    html = write_tree(tmp_path / "html", "synthetic")
    assert command.publish_check(html, "A Reviewer") == 0
    told = read_json(html / "manifest.json")
    if change == "changed":
        (html / "_static" / "book.css").write_text("p { color: blue; }")
    elif change == "added":
        (html / "_static" / "new.css").write_text("p { color: blue; }")
    elif change == "gone":
        (html / "_static" / "book.css").unlink()
    else:
        write_json(html / "manifest.json", {**told, change: ""})
    assert [one.rule for one in manifest.compare(html)] == ["manifest"]
    assert command.publish(html, tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_finds_the_cohort_of_the_profile_and_tells_the_place_not_the_value(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = write_tree(tmp_path / "html", "credentialed")
    write_page(html, "credentialed", f"<p>{SUBJECT}</p>", "other")
    assert command.publish_check(html, "A Reviewer") == 1
    said = capsys.readouterr()
    assert "other.html: line 3, <p>: real id" in said.err or "other.html: <p>, line 3: real id" in said.err
    assert str(SUBJECT) not in said.err + said.out
    assert not (html / "manifest.json").exists()
    shutil.rmtree(project / "runs")
    assert command.publish_check(write_tree(tmp_path / "again", "credentialed")) == 1
    assert "no filter of the real identifiers" in capsys.readouterr().err


def test_common_names_of_users_and_machines_are_no_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.getpass, "getuser", lambda: "root")
    monkeypatch.setattr(command.socket, "gethostname", lambda: "Gandalf.example.org")
    assert command.names_here() == ("gandalf",)


def test_a_commit_of_records_outputs_or_real_identifiers_is_refused(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    (tmp_path / "fine.py").write_text("subject_id = 10_000_001\nLARGEST = 19999999\n")
    git("add", ".")
    assert check_staged(tmp_path, [IDS]) == []
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "leak.py").write_text(f"assert patient == {SUBJECT}\n")
    (tmp_path / "notes.md").write_text("hadm_id 20123456\n")
    git("add", ".")
    found = {(one.file, one.rule) for one in check_staged(tmp_path, [IDS])}
    assert found == {("rows.csv", "file type"), ("leak.py", "real id"), ("notes.md", "identifier")}


RECORDS = pd.DataFrame({"subject_id": [1], "age": [60.0]})


@pytest.mark.parametrize(
    "shown",
    [
        RECORDS,
        RECORDS.set_index("subject_id"),
        RECORDS["subject_id"],
        [RECORDS],
        {"rows": RECORDS},
        pd.DataFrame({"t": pd.to_datetime(["2150-03-01"])}),
        pd.DataFrame({"z": range(201)}),
    ],
)
def test_a_table_of_single_rows_is_never_shown_on_credentialed_records(shown: object) -> None:
    with pytest.raises(guard.RecordLevelError, match="aggregate it"):
        guard.refuse_records(shown)


def test_the_guard_stands_before_every_display_and_only_while_the_records_are_credentialed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell = InteractiveShell()
    monkeypatch.setattr(guard, "get_ipython", lambda: shell)
    strict = SimpleNamespace(value=True)
    guard.forbid_records(lambda: strict.value)
    guard.forbid_records(lambda: strict.value)  # the next chapter of the same kernel
    with pytest.raises(guard.RecordLevelError):
        shell.display_formatter.format(RECORDS)
    assert "text/html" in shell.display_formatter.format(pd.DataFrame({"patients": [45]}))[0]
    strict.value = False
    assert "text/html" in shell.display_formatter.format(RECORDS)[0]


def test_what_a_chapter_shows_of_credentialed_records_passes_the_gate_and_of_open_ones_is_untouched(
    tmp_path: Path,
) -> None:
    block = table(rows=[("anxiety", "1,263", "3,881", "0.165 [0.150, 0.180]"), ("trauma", "7", "12", "0.250")])
    open_records = Disclosure(lambda: "demo", "c0de", "profile tiny", 20)
    assert open_records.html(block) == block
    assert open_records.value("patients", 7) == 7
    strict = Disclosure(lambda: "credentialed", "c0de", "profile tiny", 20)
    body = strict.html(block) + figure(png())
    assert [one["patients"] for one in strict.sidecars] == [[1265, None]]
    html = write_tree(tmp_path / "html", "credentialed")
    write_page(html, "credentialed", body, "other")
    assert check(read_tree(html, IDS)) == []


def test_numbers_of_the_prose_and_of_claims_are_rounded_where_they_count() -> None:
    strict = Disclosure(lambda: "credentialed", "c0de", "profile tiny", 20)
    assert [strict.value("patients", n) for n in (7, 1263)] == [10, 1265]
    assert strict.value("features", 63) == 63
    assert strict.words("with the label: 4, 11 needed") == "with the label: fewer than 11, 11 needed"
    assert strict.html("<p>7 patients, 20 needed</p>") == "<p>fewer than 20 patients, 20 needed</p>"
    assert strict.value("min_patients", 11) == 11
    assert strict.value("share", 0.123) == 0.123
    assert isinstance(strict.value("patients", NotHere("too few")), NotHere)
    assert strict.value("auroc", Estimate(0.7, 0.6, 0.8, 1234, 432))[3:] == (1235, 430)


def test_parameters_that_let_fewer_than_eleven_through_stop_a_chapter_on_credentialed_records() -> None:
    with pytest.raises(ParameterError, match="statistics.min_carriers = 5"):
        check_floors(Profile(profile="tiny"))
    check_floors(Profile.model_validate({"profile": "tiny", "statistics": {"min_carriers": 11}}))
