"""Around the scanner: the filter of identifiers, the manifest, the commands, commits, and the guard of a kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import NotHere
from jepascope.cli import main
from jepascope.params import ParameterError, Profile, project_root
from jepascope.publish import command, guard, id_filter, manifest
from jepascope.publish.alarms import alarm
from jepascope.publish.check import check
from jepascope.publish.disclosure import Disclosure, check_floors
from jepascope.publish.id_filter import build_filter, filter_of
from jepascope.publish.staged import check_files, check_staged
from jepascope.publish.tiers import BANNERS
from jepascope.publish.tree import read_tree
from jepascope.store import StoreError, read_json, write_json, write_table
from tests.publish.trees import IDS, SUBJECT, figure, png, table, write_page, write_tree


@pytest.mark.parametrize("patients", [1, 375, 2000])
def test_the_filter_holds_every_identifier_and_of_a_cohort_of_any_size_no_stranger(patients: int) -> None:
    """Where a number's places follow from two draws, one stranger in a thousand has those of a lone identifier."""
    ids = np.random.default_rng(0).choice(10_000_000, patients, replace=False) + 10_000_000
    held = build_filter(ids)
    assert all(held.holds(int(number)) for number in ids)
    assert not any(held.holds(number) for number in range(30_000_000, 30_020_000))


def test_the_filter_is_salted() -> None:
    first, second = build_filter([SUBJECT]), build_filter([SUBJECT])
    assert first.salt != second.salt
    assert not np.array_equal(first.marked, second.marked)


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
    for module in (command, id_filter):
        monkeypatch.setattr(module, "project_root", lambda: tmp_path)
    return tmp_path


def test_a_checked_tree_is_published_byte_by_byte_and_only_with_a_reviewer(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = write_tree(tmp_path / "my html", "credentialed")
    with pytest.raises(StoreError, match="no manifest: `jepascope publish-check '.*my html' --reviewer NAME`"):
        command.publish(html, tmp_path / "out")
    assert command.publish_check(html) == 0
    assert not (html / "manifest.json").exists()
    assert command.publish_check(html, "A Reviewer") == 0
    assert f"`jepascope publish '{html}' TARGET`" in capsys.readouterr().out
    told = read_json(html / "manifest.json")
    assert (told["tier"], told["rules"], told["reviewer"]) == ("credentialed", "1", "A Reviewer")
    assert command.publish(html, tmp_path / "out") == 0
    assert manifest.hashes(tmp_path / "out") == told["files"] == manifest.hashes(html)
    with pytest.raises(StoreError, match="isn't empty"):
        command.publish(html, tmp_path / "out")


def test_a_reviewer_has_a_name(project: Path, tmp_path: Path) -> None:
    html = write_tree(tmp_path / "html", "synthetic")
    with pytest.raises(ValueError, match="signs with a name"):
        command.publish_check(html, " ")
    assert not (html / "manifest.json").exists()


def test_the_gate_finds_the_projects_pages_from_any_folder_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(tmp_path / "_build" / "html", "synthetic")
    for name in ("params", "book"):
        (tmp_path / name).mkdir()
    (tmp_path / "_config.yml").write_text("")
    monkeypatch.chdir(tmp_path / "book")
    main(["publish-check"])
    assert "tier synthetic: no alarm" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["changed", "added", "gone", "rules", "reviewer"])
def test_a_tree_that_is_not_its_manifests_is_not_published(
    project: Path, tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert "refused: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_numbers_of_planted_patients_are_nobodys(project: Path, tmp_path: Path) -> None:
    html = write_tree(tmp_path / "html", "synthetic")
    write_page(html, "synthetic", f"<p>{SUBJECT}</p>", "other")
    assert command.publish_check(html) == 0


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


def test_pages_of_two_cohorts_have_no_one_filter_and_are_refused(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html = write_tree(tmp_path / "html", "credentialed")
    more = project / "runs" / "more" / "all" / "01_extraction" / "encounters"
    write_table(more / "index.parquet", pd.DataFrame({"subject_id": [SUBJECT + 1]}))
    write_page(html, "credentialed", "", "other", banner=f"{BANNERS['credentialed']} Profile <strong>more</strong>.")
    assert command.publish_check(html) == 1
    assert "no filter of the real identifiers" in capsys.readouterr().err


def test_of_many_alarms_the_first_are_told_and_the_rest_counted(capsys: pytest.CaptureFixture[str]) -> None:
    command.report([alarm(f"{letter}.html", "whole file", "rule", "why") for letter in 21 * "ab"])
    told = capsys.readouterr().err.splitlines()
    assert len(told) == command.SHOWN + 1
    assert told[0] == "refused: a.html: whole file: rule: why"
    assert told[-1] == "refused: and 2 more"
    command.report(command.SHOWN * [alarm("a.html", "whole file", "rule", "why")])
    assert len(capsys.readouterr().err.splitlines()) == command.SHOWN


def test_a_user_without_an_entry_has_no_name_and_the_machine_still_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("no password database entry")

    monkeypatch.setattr(command.getpass, "getuser", nobody)
    monkeypatch.setattr(command.socket, "gethostname", lambda: "Gandalf.example.org")
    assert command.names_here() == ("gandalf",)


def test_the_command_of_the_hook_ends_with_status_one_and_the_place_of_what_it_refuses(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=project, check=True, capture_output=True)

    git("init")
    (project / "notes.md").write_text(f"One.\n\nSee {SUBJECT}.\n")
    git("add", "notes.md")
    with pytest.raises(SystemExit) as refusal:
        main(["publish-check", "--staged"])
    assert refusal.value.code == 1
    assert capsys.readouterr().err == "refused: notes.md: line 3: real id: an identifier of the cohort\n"
    git("rm", "--cached", "notes.md")
    main(["publish-check", "--staged"])


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


def test_a_link_that_becomes_a_file_is_held_against_the_rules_when_it_is_committed(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    notes = tmp_path / "notes.md"
    notes.symlink_to("elsewhere.md")
    git("add", ".")
    git("-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "-m", "a link")
    notes.unlink()
    notes.write_text("hadm_id 20123456\n")
    git("add", ".")
    assert [(one.file, one.rule) for one in check_staged(tmp_path)] == [("notes.md", "identifier")]


@pytest.mark.parametrize("name", ["PATIENTS.CSV", "book.pdf", "deep/er/rows.Parquet"])
def test_records_and_outputs_are_known_by_their_endings_in_capitals_too(name: str) -> None:
    assert [one.rule for one in check_files({name: b"a"})] == ["file type"]


def test_what_git_ignores_by_its_ending_is_refused_when_it_is_added_by_force() -> None:
    ignored = re.findall(r"^\*(\.[\w.]+)$", (project_root() / ".gitignore").read_text(), re.MULTILINE)
    assert {".csv", ".csv.gz", ".ipynb", ".safetensors"} <= set(ignored)
    assert {one.file for one in check_files({f"a{ending}": b"a" for ending in ignored})} == {f"a{e}" for e in ignored}


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
        RECORDS.rename(columns=str.upper),
        RECORDS.groupby("age").agg({"subject_id": ["min"]}),
        RECORDS.set_index("subject_id").index,
        RECORDS.style,
        pd.DataFrame({"age": [60.0]}, index=pd.to_datetime(["2150-03-01"])),
        np.zeros((201, 4)),
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
    assert "text/plain" in shell.display_formatter.format(np.array(0.5))[0]
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
