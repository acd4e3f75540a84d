"""Comments as files: open ones first, nothing that the publish gate would refuse, archived ones with their snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jepascope.cli import main
from jepascope.publish.id_filter import build_filter
from jepascope.review.export import alarms_of, archive_comments, export_comments
from jepascope.review.snapshot import take
from jepascope.review.threads import Comment, Thread, read_threads
from jepascope.store import StoreError, read_json, write_json
from tests.review.conftest import Reviewer


def resolve(reviewer: Reviewer, text: str) -> None:
    reviewer.say("02_model", "Resolved: it does now.", author="Ben", parent=reviewer.say("02_model", text))


def test_threads_are_written_page_by_page_open_ones_first(reviewer: Reviewer, project: Path) -> None:
    resolve(reviewer, "The first thing")
    reviewer.say("02_model", "> quoted words\n>\n> [The twin](#the-twin)\n\nThe second thing\n\n1. one\n2. two")
    reviewer.say("index", "On the front page")
    files = export_comments("toy", project / "comments")
    assert [file.name for file in files] == ["02_model.md", "index.md"]
    text = files[0].read_text()
    assert text.startswith("# Comments on “The model & its twin”\n")
    lines = [line for line in text.splitlines() if line.startswith(("#", "On "))]
    assert lines[1:] == [
        *("## Open", "### The second thing", "On `02_model.html#the-twin`"),
        *("## Resolved", "### The first thing", "On `02_model.html#isso-1`"),
    ]
    assert "> quoted words\n" in text
    assert "\n1. one\n2. two\n" in text
    assert "> **Ben**, 2" in text
    assert "> Resolved: it does now." in text


def test_comments_of_each_profile_have_a_folder_of_their_own(
    reviewer: Reviewer, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reviewer.say("02_model", "A thing")
    main(["comments", "--profile", "toy"])
    assert capsys.readouterr().out == f"{project / 'comments' / 'toy' / '02_model.md'}\n"


def test_a_profile_without_comments_is_told_so(project: Path) -> None:
    with pytest.raises(StoreError, match="there are no comments"):
        export_comments("toy", project / "comments")


def test_comments_of_two_tiers_are_not_mixed(reviewer: Reviewer, project: Path) -> None:
    resolve(reviewer, "The first thing")
    Reviewer(project, tier="demo").say("02_model", "The second thing")
    with pytest.raises(StoreError, match="pages of demo and synthetic records"):
        export_comments("toy", project / "comments")


def thread(opening: str, reply: str) -> Thread:
    comments = [
        Comment(number, "Ann", datetime(2026, 1, 1, tzinfo=UTC), text) for number, text in ((1, opening), (2, reply))
    ]
    return Thread("02_model", "The model", comments[0], (comments[1],), None)


LEAKS = {
    "an identifier beside its name": ("the patient with subject_id 10012345 is odd", "identifier"),
    "a shifted date": ("admitted on 2152-03-04, it seems", "identifier"),
    "a cohort's own identifier": ("see 987654321 for that", "real id"),
    "a small count": ("only 7 patients are in this cell", "small cell"),
    "a path": ("I ran it in /home/ann/mimic", "path"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_comment_on_credentialed_pages_that_tells_too_much_is_refused_by_rule(leak: str) -> None:
    said, rule = LEAKS[leak]
    ids = build_filter([987654321], salt=b"0" * 16)
    found = alarms_of([thread("A line", f"A reply:\n\n{said}")], "credentialed", ids)
    assert [(alarm.file, alarm.rule) for alarm in found] == [("02_model#isso-2", rule)]
    assert "line 4" in found[0].where  # under the author's name
    assert not any(word in str(found[0]) for word in ("10012345", "2152-03-04", "987654321", "7 patients", "/home/ann"))
    assert alarms_of([thread("The **AUROC** of 0.71", "surprises me & Ben")], "credentialed", ids) == []


def test_an_export_that_is_refused_writes_nothing(reviewer: Reviewer, project: Path) -> None:
    strict = Reviewer(project, tier="credentialed")
    strict.say("02_model", "A harmless word")
    with pytest.raises(StoreError, match="no filter of the real identifiers"):
        export_comments("toy", project / "comments")
    strict.say("index", "Mind subject_id 10012345")
    with pytest.raises(StoreError, match="index#isso-2: .*identifier") as refusal:
        export_comments("toy", project / "comments")
    assert "10012345" not in str(refusal.value)
    assert not (project / "comments").exists()


def test_archiving_moves_resolved_threads_into_the_snapshot_and_off_the_index(
    reviewer: Reviewer, project: Path
) -> None:
    resolve(reviewer, "The first thing")
    export_comments("toy", project / "comments")
    take("first", "toy", [0, 1])
    (file,) = archive_comments("toy", "first")
    assert file == project / "snapshots" / "first" / "comments" / "02_model.md"
    assert "### The first thing" in file.read_text()
    assert [thread.snapshot for thread in read_threads(reviewer.database)] == ["first"]
    assert "The first thing" not in reviewer.get("/review/").text
    assert export_comments("toy", project / "comments") == []
    assert not list((project / "comments").iterdir())


def test_archiving_twice_adds_to_what_the_snapshot_has(reviewer: Reviewer, project: Path) -> None:
    take("first", "toy", [0, 1])
    for thing in ("The first thing", "The second thing"):
        resolve(reviewer, thing)
        (file,) = archive_comments("toy", "first")
    text = file.read_text()
    assert (text.count("### The first thing"), text.count("### The second thing")) == (1, 1)


def test_a_new_comment_under_an_old_number_is_not_taken_for_the_archived_one(reviewer: Reviewer, project: Path) -> None:
    resolve(reviewer, "The first thing")
    take("first", "toy", [0, 1])
    archive_comments("toy", "first")
    for number in (2, 1):
        assert (
            reviewer.client.delete(f"{reviewer.comments_at}/id/{number}", base_url="http://127.0.0.1:8000").status_code
            == 200
        )
    assert reviewer.say("02_model", "Something else") == 1
    assert [thread.archived for thread in read_threads(reviewer.database)] == [False]


def test_a_reply_to_an_archived_thread_opens_it_again_until_it_is_resolved_and_archived_once_more(
    reviewer: Reviewer, project: Path
) -> None:
    resolve(reviewer, "The first thing")
    for name in ("first", "second"):
        take(name, "toy", [0, 1])
    archive_comments("toy", "first")
    reviewer.say("02_model", "It doesn't on my machine.", parent=1)
    assert "The first thing" in reviewer.get("/review/").text
    assert "It doesn't on my machine." in export_comments("toy", project / "comments")[0].read_text()
    reviewer.say("02_model", "Resolved at last.", parent=1)
    (file,) = archive_comments("toy", "second")
    assert "It doesn't on my machine." in file.read_text()
    assert [(thread.archived, thread.snapshot) for thread in read_threads(reviewer.database)] == [(True, "second")]


def test_a_comment_that_was_deleted_leaves_the_export_and_other_files_stay(reviewer: Reviewer, project: Path) -> None:
    reviewer.say("02_model", "Said in haste")
    assert len(export_comments("toy", project / "comments")) == 1
    (project / "comments" / "notes.md").write_text("# Notes of mine\n")
    assert reviewer.client.delete(f"{reviewer.comments_at}/id/1", base_url="http://127.0.0.1:8000").status_code == 200
    assert export_comments("toy", project / "comments") == []
    assert [left.name for left in (project / "comments").iterdir()] == ["notes.md"]


def test_a_page_cannot_be_named_so_that_its_file_lies_elsewhere(reviewer: Reviewer, project: Path) -> None:
    reviewer.say("../../elsewhere", "A thing")
    reviewer.say("api/store", "Another thing")
    files = export_comments("toy", project / "comments")
    assert {file.resolve().parent for file in files} == {project / "comments"}
    assert {file.name for file in files} == {"..-..-elsewhere.md", "api-store.md"}


def test_comments_are_not_archived_into_a_snapshot_of_other_records(reviewer: Reviewer, project: Path) -> None:
    resolve(reviewer, "The first thing")
    facts = take("first", "toy", [0, 1]) / "snapshot.json"
    write_json(facts, {**read_json(facts), "tier": "credentialed"})
    with pytest.raises(StoreError, match="snapshot first is of profile toy, credentialed"):
        archive_comments("toy", "first")
