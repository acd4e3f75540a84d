"""`jepascope release`: one archive of a checked book with what a reader needs to cite it and to make it again.

A folder zipped by hand holds whatever lay there. This one holds what the manifest names, the claims of exactly the
runs that the pages show, and texts that passed the same rules; made twice, it is the same to the byte.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jepascope.params import load_profile, project_root
from jepascope.publish import files
from jepascope.publish.alarms import Alarm
from jepascope.publish.check import RULES, check
from jepascope.publish.command import names_here, read_checked, report
from jepascope.publish.manifest import checked_files
from jepascope.publish.runs import Run, results_of, runs_of
from jepascope.publish.tree import Tree, profiles, read_tree
from jepascope.store import StoreError, atomic, sha256

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
CITED = ("CITATION.cff", ".zenodo.json", "LICENSE")
TEXTS = (*CITED, "constraints.txt", "environment.yml")
SIGNED = (*CITED, "comments/", "params/waivers/")  # their authors' names belong there, a user's among them
NUMBERS = {"estimate": ("value", "low", "high", "n_rows", "n_patients"), "null": ("value", "low", "high")}
NUMBERS |= {"untrained": ("value", "low", "high")}
PLAIN = ("chapter", "seed", "id", "statement", "tag", "rule", "verdict", "null_name")
# Rules for every file that goes in; that pages hold other kinds of file than an archive's texts is no reproach to them.
OF_TEXTS = tuple(rule for rule in RULES if rule is not files.kinds)
MOMENT = (1980, 1, 1, 0, 0, 0)  # of every entry: the archive says what was made, not when it was packed


def release(name: str, folder: Path, out: Path) -> int:
    """Write `out`/`name`.zip from a rendered book that passed `publish-check --reviewer`; returns 0, or 1 with reasons.

    The tree must be its manifest's, to the byte, and raise no alarm now. Raises StoreError when there is no manifest,
    when the runs or their parameters have moved since the pages were rendered, when the name is no name, or another
    archive's.
    """
    if not NAME.fullmatch(name):
        raise StoreError(f"{name!r} can't name an archive: letters, digits, '.', '_' and '-', a letter or digit first")
    tree, alarms = read_checked(folder)
    texts = {} if alarms else _texts(name, folder, tree)
    alarms = alarms or check_texts(texts, tree)
    report(alarms)
    if alarms:
        return 1
    target = out / f"{name}.zip"
    pages = {f"html/{page}": content for page, content in checked_files(folder)}
    _write(target, name, pack(name, pages | texts))
    print(f"{target}: {len(pages) + len(texts)} files, sha256 {sha256(target)}")
    return 0


def pack(name: str, contents: Mapping[str, bytes]) -> bytes:
    """Zip contents below a folder `name`: sorted, at one moment, with one mode, so that equals give equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for place in sorted(contents):
            entry = zipfile.ZipInfo(f"{name}/{place}", MOMENT)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[place], compresslevel=9)
    return buffer.getvalue()


def claims_of(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """The claims of the runs that pages show, as `results.json` has them. Raises StoreError as `results_of`."""
    return [{"chapter": run.chapter, **claim} for run in runs for claim in results_of(run)["claims"]]


def as_table(claims: Iterable[Mapping[str, Any]]) -> str:
    """The claims as CSV, an estimate's parts in columns of their own; what isn't here is told by the verdict."""
    columns = [*PLAIN, *(f"{part}_{number}" for part, numbers in NUMBERS.items() for number in numbers)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for claim in claims:
        row = {column: claim[column] for column in PLAIN}
        for part, numbers in NUMBERS.items():
            if isinstance(claim[part], dict):
                row |= {f"{part}_{number}": claim[part].get(number) for number in numbers}
        writer.writerow(row)
    return buffer.getvalue()


def check_texts(texts: Mapping[str, bytes], tree: Tree) -> list[Alarm]:
    """Hold what goes beside the pages against the pages' rules, on the pages' tier and identifiers."""
    with tempfile.TemporaryDirectory() as place:
        for name, content in texts.items():
            (Path(place) / name).parent.mkdir(parents=True, exist_ok=True)
            (Path(place) / name).write_bytes(content)
        beside = read_tree(Path(place), tree.ids, names_here())
    found = check(beside._replace(tiers=tree.tiers), OF_TEXTS)
    return [one for one in found if not (one.rule == "user name" and one.file.startswith(SIGNED))]


def _texts(name: str, folder: Path, tree: Tree) -> dict[str, bytes]:
    """Everything beside the pages, by its place in the archive."""
    root, named = project_root(), profiles(tree)
    if len(named) != 1:
        raise StoreError(f"{folder}: pages of one profile are needed, found {sorted(named) or 'none'}")
    profile, runs = named.pop(), runs_of(folder)
    seeds = sorted({int(run.seed) for run in runs if run.seed != "all"})
    _refuse_other_parameters(runs, seeds)
    claims = claims_of(runs)
    texts = {file: (root / file).read_text() for file in TEXTS}
    for waived in ("", "waivers/"):
        if (root / "params" / waived / f"{profile}.yaml").exists():
            texts[f"params/{waived}{profile}.yaml"] = _without_root(profile, f"{waived}{profile}.yaml")
    comments = sorted((root / "snapshots" / name / "comments").glob("*.md"))
    texts |= {f"comments/{file.name}": file.read_text() for file in comments}
    texts["claims.csv"] = as_table(claims)
    texts["claims.json"] = json.dumps(claims, indent=1, ensure_ascii=False) + "\n"
    commits = sorted({run.commit for run in runs})
    texts["README.md"] = _readme(name, profile, seeds, sorted(tree.tiers), commits, bool(comments))
    return {place: text.encode() for place, text in texts.items()}


def _without_root(profile: str, file: str) -> str:
    """A parameter file as it stands, but for the one path of this machine that it may hold."""
    text, place = (project_root() / "params" / file).read_text(), load_profile(profile).source.root
    return text if place is None or not Path(place).is_absolute() else text.replace(place, f"…/{Path(place).name}")


def _refuse_other_parameters(runs: Iterable[Run], seeds: list[int]) -> None:
    """Raise StoreError when the parameter file has moved on: what the archive holds would then make other pages."""
    for run in runs:
        seed = None if run.seed == "all" else int(run.seed)
        made = results_of(run)["provenance"]["parameters"]
        now = load_profile(run.profile, {"seeds": seeds} if seeds else {}, seed).model_dump(mode="json")
        for section in made.keys() - {"seeds"}:  # where the records lie is no matter
            if {**now.get(section, {}), "root": None} != {**made[section], "root": None}:
                raise StoreError(
                    f"{run.page}.html was made with another {section!r} than params/{run.profile}.yaml has: put that "
                    f"back, or `jepascope run --profile {run.profile}`, build and check the pages again"
                )


def _readme(name: str, profile: str, seeds: list[int], tiers: list[str], commits: list[str], comments: bool) -> str:
    usual = not seeds or set(seeds) == set(load_profile(profile).seeds)
    chosen = "" if usual else f" --seeds {','.join(map(str, seeds))}"
    changed = [commit for commit in commits if commit.endswith("+") or commit == "unknown"]
    told = "\nA `+` marks a working tree with changes: its code is told by the hash in the pages' provenance.\n"
    return README.format(
        name=name,
        profile=profile,
        command=f"--profile {profile}{chosen}",
        tier=", ".join(tiers),
        commits="\n".join(f"* `{commit}`" for commit in commits),
        changed=told if changed else "",
        comments="| `comments/` | what reviewers wrote of the chapters |\n" if comments else "",
    )


def _write(target: Path, name: str, archive: bytes) -> None:
    if target.exists() and target.read_bytes() != archive:
        raise StoreError(f"{target} is another archive of this name: a release is made once; name it otherwise")
    with atomic(target) as temporary:
        temporary.write_bytes(archive)


README = """# {name}

The book *Mechanistic Interpretability for Clinical JEPAs* as it was rendered from profile `{profile}` (data tier:
{tier}). Open `html/index.html`; nothing is fetched.

| here | what it is |
|---|---|
| `html/` | the pages, and `manifest.json`: what was checked before they left, by whom, and the hash of each file |
| `claims.csv`, `claims.json` | every claim for each seed: estimate, patient interval, null, untrained twin, verdict |
| `params/` | the profile behind the pages |
| `constraints.txt`, `environment.yml` | the versions of all packages |
{comments}| `CITATION.cff`, `.zenodo.json`, `LICENSE` | how to cite, and under which terms |

It holds aggregates only: no record, no embedding, no weight.

## To make it again

The pages were made at these commits of the source, each page naming its own:

{commits}
{changed}
With the source at the newest of them, Python 3.11 to 3.13 and make:

```sh
make .venv/installed
.venv/bin/jepascope run {command}
.venv/bin/jepascope build {command}
.venv/bin/jepascope claims {command}
```

The last command prints what `claims.csv` holds. Records other than the synthetic cohort and the open demo aren't
distributed: put the path of your own copy into `params/{profile}.yaml`.
"""
