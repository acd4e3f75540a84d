"""The edges of the gate's rules: what is just refused, what just passes, and the corners where a leak might sit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import Claim
from jepascope.publish import command, tree
from jepascope.publish.check import check
from jepascope.publish.disclosure import Disclosure
from jepascope.publish.manifest import compare, copy_tree, write_manifest
from jepascope.publish.staged import check_files
from jepascope.publish.tree import read_tree
from jepascope.store import StoreError, write_json, write_table
from tests.publish.planting import marked, page, rows, text
from tests.publish.trees import SUBJECT, TITLES, notebook, read, shown, table, write_page, write_sidecars, write_tree

Plant = Callable[[Path], None]


def sentence(words: str) -> Plant:
    return page(f"<p>{words}</p>")


def judged(**facts: Any) -> Plant:
    """A second page whose table has a sidecar that says this."""

    def plant(folder: Path) -> None:
        write_page(folder, "credentialed", table(), "other")
        write_sidecars(folder, "other", (folder / "other.html").read_bytes(), **facts)

    return plant


def cell(**parts: Any) -> Plant:
    """A second notebook whose first cell has these parts."""

    def plant(folder: Path) -> None:
        written = notebook("credentialed")
        written["cells"][0].update(parts)
        (folder / "_sources" / "other.ipynb").write_text(json.dumps(written))

    return plant


def rules(folder: Path, plant: Plant) -> set[str]:
    """The rules that a credentialed book breaks with the leak in it."""
    write_tree(folder, "credentialed")
    plant(folder)
    return {found.rule for found in check(read(folder))}


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (rows(("trauma", "10", "120", "0.250")), "small cell"),
        (rows(("trauma", "45", "7", "0.250")), "small cell"),
        (rows(("patients", "7"), titles=("measure", "JEPA")), "small cell"),
        (sentence("There are 1,263 patients."), "rounding"),
        (sentence("There are 10 patients."), "small cell"),
        (page(15 * marked(150)), "output type"),
        (page("<canvas></canvas>"), "output type"),
        (judged(floor=5), "sidecar"),
        (judged(patients=[13]), "sidecar"),
        (judged(marks=500), "sidecar"),
    ],
)
def test_what_is_just_too_little_is_refused(tmp_path: Path, plant: Plant, rule: str) -> None:
    assert rules(tmp_path / "html", plant) == {rule}


@pytest.mark.parametrize(
    "plant",
    [
        rows(("a", "15", "120", "0.250")),
        rows(("a", "1,260", "3,880", "x"), ("b", "1,255", "3,875", "x")),  # groups, of which none is a part of another
        rows(("a", "45", "120", "x"), ("b", "withheld", "115", "x"), ("total", "500", "235", "x")),
        rows(("patients", "45"), titles=("measure", "JEPA")),
        rows(("trauma", "45", "120", "0.250"), titles=TITLES),
        sentence("Groups of at least 3 patients, and of fewer than 7 patients."),
        sentence("not computable here: fewer than 20 patients, 20 needed"),
        judged(marks=200, patients=[15]),
        rows(("trauma", "45", "120", "x"), caption="Top-activating encounters of the planted cohort."),
    ],
)
def test_what_is_just_enough_passes(tmp_path: Path, plant: Plant) -> None:
    assert rules(tmp_path / "html", plant) == set()


NAMED = f"subject_id {SUBJECT}"
PRINTED = {"output_type": "stream", "name": "stdout", "text": NAMED}
STAMPED = notebook("credentialed")["cells"][0]["outputs"]


@pytest.mark.parametrize(
    "plant",
    [
        cell(attachments={"note.txt": {"text/plain": NAMED}}),
        cell(metadata={"note": NAMED}),
        cell(outputs=[shown("x") | {"metadata": {"note": NAMED}}, *STAMPED]),
        cell(outputs=[PRINTED, *STAMPED]),
    ],
    ids=["attachment", "metadata of a cell", "metadata of an output", "printed"],
)
def test_an_identifier_in_any_corner_of_a_notebook_is_refused(tmp_path: Path, plant: Plant) -> None:
    assert rules(tmp_path / "html", plant) == {"identifier", "real id"}


def test_an_identifier_that_is_encoded_twice_is_refused(tmp_path: Path) -> None:
    plant = sentence(f"subject_id &amp;amp;#49;{str(SUBJECT)[1:]}")
    assert rules(tmp_path / "html", plant) == {"identifier", "real id"}


def test_a_page_of_planted_records_does_not_open_the_gate_for_others(tmp_path: Path) -> None:
    html = write_tree(tmp_path / "html", "demo")
    write_page(html, "synthetic", marked(500), "other")
    assert {found.rule for found in check(read(html))} == {"tier", "output type"}


def test_a_tree_with_a_manifest_is_still_held_to_the_rules_when_it_is_published(tmp_path: Path) -> None:
    """A manifest can be written by hand, or by an earlier release that knew less."""
    html = write_tree(tmp_path / "html", "synthetic")
    (html / "run.log").write_text("started")
    write_manifest(html, read_tree(html), "A Reviewer")
    assert command.publish(html, tmp_path / "out") == 1
    assert not (tmp_path / "out").exists()


def test_what_changes_between_the_check_and_the_copy_or_becomes_a_link_is_not_published(tmp_path: Path) -> None:
    html = write_tree(tmp_path / "html", "synthetic")
    write_manifest(html, read_tree(html), "A Reviewer")
    style = html / "_static" / "book.css"
    style.rename(tmp_path / "book.css")
    style.symlink_to(tmp_path / "book.css")  # the same bytes, today
    assert [(one.file, one.rule) for one in compare(html)] == [("_static/book.css", "manifest")]
    style.unlink()
    style.write_text("p { color: blue; }")
    with pytest.raises(StoreError, match="changed while it was copied"):
        copy_tree(html, tmp_path / "out")


@pytest.mark.parametrize(
    ("plant", "rule"),
    [
        (text("_static/a.txt", "a\0b"), "file type"),
        (text("_static/own.js", f"const z = '{'Zk9x' * 500}'"), "array"),
        (text("_static/mmustermann.md", "words"), "user name"),
        (text("home/mmueller/words.md", "words"), "path"),
    ],
)
def test_a_file_may_not_hide_in_its_bytes_nor_tell_by_its_name(tmp_path: Path, plant: Plant, rule: str) -> None:
    assert rules(tmp_path / "html", plant) == {rule}


def test_a_large_file_of_a_publishing_package_is_no_large_file_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = b"p{}" * 400_000
    plant = text("_static/theme.css", large)
    assert rules(tmp_path / "ours", plant) == {"file size"}
    monkeypatch.setattr(tree, "delivered", lambda: frozenset({hashlib.sha256(large).digest()}))
    assert rules(tmp_path / "theirs", plant) == set()


def test_a_commit_is_held_against_the_identifiers_of_credentialed_cohorts_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for profile, tier, subject in (("tiny", "credentialed", SUBJECT), ("open", "demo", 10_999_999)):
        folder = tmp_path / "runs" / profile / "all" / "01_extraction" / "encounters"
        write_table(folder / "index.parquet", pd.DataFrame({"subject_id": [subject]}))
        write_json(folder / "tier.json", {"tier": tier})
    monkeypatch.setattr(command, "project_root", lambda: tmp_path)
    (found,) = command._filters()
    assert found.holds(SUBJECT)
    assert not found.holds(10_999_999)


def test_a_commit_of_records_under_another_ending_or_of_an_error_is_refused() -> None:
    traceback = b"Traceback (most recent call last)" + b"\nKeyError: 4"
    found = check_files({"rows.csv.txt": b"a", "notes.md": traceback, "fine.md": b"words"})
    assert {(one.file, one.rule) for one in found} == {("rows.csv.txt", "file type"), ("notes.md", "traceback")}


def test_a_short_name_is_a_word_of_any_page_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.getpass, "getuser", lambda: "bob")
    monkeypatch.setattr(command.socket, "gethostname", lambda: "gandalf")
    assert command.names_here() == ("gandalf",)


def test_the_untrained_twin_of_a_claim_is_rounded_too() -> None:
    strict = Disclosure(lambda: "credentialed", "c0de", "profile tiny", 20)
    estimate = Estimate(0.7, 0.6, 0.8, 1234, 432)
    claim = strict.claim(Claim("a", "A", "descriptive", "above", 0.5, estimate, "null", estimate, estimate))
    assert {part[3:] for part in (claim.estimate, claim.null, claim.untrained)} == {(1235, 430)}
