"""The archive of a checked book: what goes in, what doesn't, and that it is the same when it is made twice."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest
import yaml

from jepascope.book.pages import provenance_block
from jepascope.params import load_profile, project_root
from jepascope.publish import command, release
from jepascope.store import StoreError, read_json, write_json
from tests.publish.trees import IDS, SUBJECT, write_page, write_sidecars, write_tree

ESTIMATE = {"value": 0.61, "low": 0.55, "high": 0.67, "n_rows": 400, "n_patients": 130}
CLAIM = {
    "id": "reads", "statement": "z tells more", "tag": "representational", "rule": "above 0.5", "verdict": "holds",
    "estimate": ESTIMATE, "null_name": "shuffled", "null": {"value": 0.5, "low": 0.44, "high": 0.56}, "untrained": None,
    "seed": 0,
}  # fmt: skip
ABSENT = {
    **CLAIM,
    "id": "absent",
    "estimate": "not computable here: too few",
    "null": None,
    "verdict": "not computable",
}


def result(seed: int | None, claims: list[dict]) -> dict:
    """What a chapter leaves, as far as a release reads it."""
    provenance = {"commit": "abc1234567", "code": "c" * 64, "seconds": 1.0, "software": {}, "parameters": {}}
    about = {"chapter": "05_z", "profile": "tiny", "seed": seed, "tier": "synthetic", "read": {}}
    return {
        **about,
        "key": f"{seed or 0}" * 64,
        "claims": claims,
        "values": {},
        "figures": [],
        "provenance": provenance,
    }


def show(html: Path, name: str, shown: dict, tier: str = "synthetic") -> None:
    """Write a page with the provenance of a run."""
    write_page(html, tier, provenance_block({**shown, "tier": tier}), name)
    write_sidecars(html, name, (html / f"{name}.html").read_bytes())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checked book of two seeds in a project of its own."""
    for name in release.TEXTS:
        (tmp_path / name).write_bytes((project_root() / name).read_bytes())
    (tmp_path / "params").mkdir()
    (tmp_path / "_config.yml").write_text("")
    (tmp_path / "params" / "tiny.yaml").write_text("profile: tiny  # small\nseeds: [0, 1]\n")
    html = write_tree(tmp_path / "html", "synthetic")
    for seed, page in ((0, "05_z"), (1, "05_z_seed1")):
        ran = result(seed, [{**CLAIM, "seed": seed}, {**ABSENT, "seed": seed}])
        write_json(tmp_path / "runs" / "tiny" / str(seed) / "05_z" / "results.json", ran)
        show(html, page, ran)
    monkeypatch.chdir(tmp_path)
    assert command.publish_check(html, "A Reviewer") == 0
    return tmp_path


def test_the_archive_holds_the_pages_the_claims_and_what_makes_them_again(project: Path) -> None:
    (project / "html" / "ignored").mkdir()
    assert release.release("book-1", project / "html", project / "dist") == 0
    archive = zipfile.ZipFile(project / "dist" / "book-1.zip")
    inside = {name.removeprefix("book-1/") for name in archive.namelist()}
    assert {"README.md", "claims.csv", "claims.json", "params/tiny.yaml", *release.TEXTS} <= inside
    assert {"html/manifest.json", "html/05_z.html", "html/05_z_seed1.html"} <= inside
    assert not [name for name in inside if name.startswith(("runs", "comments"))]
    told = archive.read("book-1/README.md").decode()
    assert ".venv/bin/jepascope run --profile tiny\n" in told
    assert "`abc1234567`" in told
    assert "`+` marks" not in told


def test_the_archive_names_the_seeds_of_its_pages_where_the_profile_names_others(project: Path) -> None:
    (project / "params" / "tiny.yaml").write_text("profile: tiny\nseeds: [0, 1, 2]\n")
    assert release.release("book-1", project / "html", project / "dist") == 0
    told = zipfile.ZipFile(project / "dist" / "book-1.zip").read("book-1/README.md").decode()
    for action in ("run", "build", "claims"):
        assert f".venv/bin/jepascope {action} --profile tiny --seeds 0,1\n" in told


def test_the_ledger_of_the_archive_has_a_row_for_each_claim_and_seed(project: Path) -> None:
    release.release("book-1", project / "html", project / "dist")
    archive = zipfile.ZipFile(project / "dist" / "book-1.zip")
    rows = list(csv.DictReader(io.StringIO(archive.read("book-1/claims.csv").decode())))
    assert [(row["id"], row["seed"], row["estimate_low"], row["null_high"]) for row in rows] == [
        *(("reads", "0", "0.55", "0.56"), ("absent", "0", "", "")),
        *(("reads", "1", "0.55", "0.56"), ("absent", "1", "", "")),
    ]
    assert json.loads(archive.read("book-1/claims.json"))[0]["estimate"] == ESTIMATE


def test_an_archive_made_twice_is_the_same_to_the_byte(project: Path) -> None:
    for out in ("one", "two", "two"):
        assert release.release("book-1", project / "html", project / out) == 0
    assert (project / "one" / "book-1.zip").read_bytes() == (project / "two" / "book-1.zip").read_bytes()
    entries = zipfile.ZipFile(project / "one" / "book-1.zip").infolist()
    assert {(entry.date_time, entry.external_attr) for entry in entries} == {(release.MOMENT, 0o644 << 16)}
    contents = {"b": b"2", "a": b"1"}
    assert release.pack("x", contents) == release.pack("x", dict(reversed(contents.items())))


def test_a_name_stands_for_one_archive(project: Path) -> None:
    release.release("book-1", project / "html", project / "dist")
    (project / "params" / "tiny.yaml").write_text("profile: tiny\nseeds: [0, 1]\n")
    with pytest.raises(StoreError, match="another archive of this name"):
        release.release("book-1", project / "html", project / "dist")
    with pytest.raises(StoreError, match="can't name an archive"):
        release.release("../book", project / "html", project / "dist")


def test_pages_that_were_not_checked_or_have_changed_since_are_not_released(project: Path) -> None:
    (project / "html" / "added.html").write_text((project / "html" / "05_z.html").read_text())
    assert release.release("book-1", project / "html", project / "dist") == 1
    (project / "html" / "manifest.json").unlink()
    with pytest.raises(StoreError, match="no manifest"):
        release.release("book-1", project / "html", project / "dist")
    assert not (project / "dist").exists()


def test_a_page_that_is_rendered_anew_between_the_check_and_the_packing_is_not_released(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_and_render(*arguments: object) -> list:
        (project / "html" / "05_z.html").write_text("<p>another</p>")
        return []

    monkeypatch.setattr(release, "check_texts", check_and_render)
    with pytest.raises(StoreError, match="05_z.html changed while it was copied"):
        release.release("book-1", project / "html", project / "dist")
    assert not (project / "dist").exists()


def test_authors_and_signatories_may_be_users_of_this_machine_and_nobody_else_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command.getpass, "getuser", lambda: "mmustermann")
    signed = "- {part: highest AUROC, up_to: 0.83, reason: planned returns, signed: M. Mmustermann}\n"
    (project / "params" / "waivers").mkdir()
    (project / "params" / "waivers" / "tiny.yaml").write_text(signed)
    assert release.release("book-1", project / "html", project / "dist") == 0
    (project / "params" / "tiny.yaml").write_text("profile: tiny  # of mmustermann\nseeds: [0, 1]\n")
    assert release.release("book-2", project / "html", project / "dist") == 1


def test_pages_of_another_run_than_the_one_at_hand_are_not_released(project: Path) -> None:
    write_json(project / "runs" / "tiny" / "1" / "05_z" / "results.json", {**result(1, []), "key": "f" * 64})
    with pytest.raises(StoreError, match=r"05_z_seed1.html shows another run .*jepascope build --profile tiny"):
        release.release("book-1", project / "html", project / "dist")


def test_pages_that_the_parameter_file_would_not_make_any_more_are_not_released(project: Path) -> None:
    results = project / "runs" / "tiny" / "1" / "05_z" / "results.json"
    made = load_profile("tiny", seed=1).model_dump(include={"training", "source", "seeds"})
    made["source"]["root"] = "…/3.1"  # as a run keeps it
    write_json(results, {**read_json(results), "provenance": {"parameters": made}})
    assert release.release("book-1", project / "html", project / "dist") == 0
    (project / "params" / "tiny.yaml").write_text("profile: tiny\nseeds: [0, 1]\ntraining: {epochs: 7}\n")
    with pytest.raises(StoreError, match=r"05_z_seed1.html was made with another 'training' than params/tiny.yaml"):
        release.release("book-2", project / "html", project / "dist")


def test_comments_are_released_with_their_snapshot_and_are_held_to_the_rules(project: Path) -> None:
    comments = project / "snapshots" / "book-1" / "comments"
    comments.mkdir(parents=True)
    (comments / "05_z.md").write_text("Resolved: the interval is over patients.\n")
    assert release.release("book-1", project / "html", project / "dist") == 0
    archive = zipfile.ZipFile(project / "dist" / "book-1.zip")
    assert "over patients" in archive.read("book-1/comments/05_z.md").decode()
    tree = command.read_rendered(project / "html")._replace(tiers=frozenset({"credentialed"}), ids=IDS)
    [found] = release.check_texts(
        {"comments/05_z.md": f"See {SUBJECT}.".encode(), "comments/06.md": b"See above."}, tree
    )
    assert (found.file, found.rule) == ("comments/05_z.md", "real id")
    (comments / "05_z.md").write_text("See /home/somebody/notes.\n")
    assert release.release("book-1", project / "html", project / "again") == 1
    assert not (project / "again").exists()


def test_the_path_of_the_records_is_no_part_of_the_archive(project: Path) -> None:
    profile = {"profile": "tiny", "seeds": [0, 1], "source": {"kind": "mimic", "root": "/records/of/us/3.1"}}
    (project / "params" / "tiny.yaml").write_text(yaml.safe_dump(profile))
    assert release.release("book-1", project / "html", project / "dist") == 0
    told = zipfile.ZipFile(project / "dist" / "book-1.zip").read("book-1/params/tiny.yaml").decode()
    assert "…/3.1" in told
    assert "/records" not in told


def test_the_archives_metadata_and_the_citation_say_the_same() -> None:
    cited = yaml.safe_load((project_root() / "CITATION.cff").read_text())
    kept = json.loads((project_root() / ".zenodo.json").read_text())
    assert kept["title"] == cited["title"]
    assert [one["name"] for one in kept["creators"]] == [one["name"] for one in cited["authors"]]
    assert (kept["version"], kept["license"], kept["upload_type"]) == (
        cited["version"],
        cited["license"],
        cited["type"],
    )
    assert kept["publication_date"] == str(cited["date-released"])
    assert kept["keywords"] == cited["keywords"]
    pyproject = (project_root() / "pyproject.toml").read_text()
    assert f'version = "{cited["version"]}"' in pyproject
