"""A project of two chapters whose runs are written by hand: what a review looks at, without a run."""

from __future__ import annotations

import base64
import copy
import io
import itertools
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib.figure import Figure

from jepascope.store import read_json, write_json

COUNTS = {"n_rows": 400, "n_patients": 100}
CHAPTER = """---
jepascope:
  reads: [{reads}]
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---

# {title}

(here-{name})=
## A section

```{{code-cell}} ipython3
:tags: [parameters]
profile = "toy"
{parameters}
```
"""
TOC = {
    "format": "jb-book",
    "root": "index",
    "parts": [{"caption": "All", "chapters": [{"file": "01_data"}, {"file": "02_model"}]}],
}


def estimate(value: float, half: float = 0.05) -> dict[str, Any]:
    """An estimate as results.json keeps one."""
    return {"value": value, "low": value - half, "high": value + half, **COUNTS}


def claim(name: str, value: float, verdict: str = "holds", seed: int | None = 0) -> dict[str, Any]:
    """A claim's entry."""
    null = {"value": 0.1, "low": 0.0, "high": 0.2, "p": 0.01}
    return {
        "id": name,
        "statement": f"What {name} says",
        "tag": "descriptive",
        "rule": "above 0.2",
        "verdict": verdict,
        "estimate": estimate(value),
        "null_name": "permuted",
        "null": null,
        "untrained": None,
        "seed": seed,
    }


def picture(text: str) -> bytes:
    """A small PNG of a word."""
    figure = Figure(figsize=(1, 0.5))
    figure.text(0.1, 0.4, text)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40, metadata={"Software": None})
    return buffer.getvalue()


def table(*rows: tuple[str, str], caption: str = "Scores of models") -> str:
    """A table as a page shows it."""
    body = "".join(f"<tr><td>{name}</td><td>{score}</td></tr>" for name, score in rows)
    head = "<thead><tr><th>model</th><th>score</th></tr></thead>"
    return f'<p class="table-caption">{caption}</p><table>{head}<tbody>{body}</tbody></table>'


def write_run(project: Path, chapter: str, seed: int | None, **changes: Any) -> Path:
    """Write a finished run of a chapter: results, an executed notebook, one figure, and a step's folder."""
    folder = project / "runs" / "toy" / ("all" if seed is None else str(seed)) / chapter
    result = {
        "chapter": chapter,
        "profile": "toy",
        "seed": seed,
        "tier": "synthetic",
        "values": {"skill": 0.5, "encounters": 400, "foresees_estimate": estimate(0.5)},
        "claims": [claim("foresees", 0.5, seed=seed)],
        "figures": [{"name": "scores", "caption": "Scores.", "alt": "Bars."}],
        "key": "0" * 64,
        "read": {},
        "provenance": {
            "commit": "aaaa",
            "parameters": {"statistics": {"bootstrap": 100}, "seeds": [0, 1]},
            "code": "c" * 64,
            "seconds": 1.0,
            "software": {"python": "3.11", "numpy": "2.0"},
        },
        **{key: value for key, value in changes.items() if key not in ("table", "picture")},
    }
    write_json(folder / "results.json", result)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "scores.png").write_bytes(changes.get("picture", picture("a")))
    (folder / "step").mkdir(exist_ok=True)
    (folder / "step" / "rows.parquet").write_bytes(b"one row a patient")
    nbformat.write(
        _notebook(changes.get("table", table(("z", "0.50"), ("raw codes", "0.40")))), folder / "executed.ipynb"
    )
    return folder


def change(folder: Path, **changes: Any) -> None:
    """Write other things into a run's results.json."""
    result = read_json(folder / "results.json")
    write_json(folder / "results.json", {**copy.deepcopy(result), **changes})


def enter_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with finished runs below `folder`, which becomes the working directory."""
    project = write_project(folder / "project")
    write_runs(project)
    monkeypatch.chdir(project)
    return project


def write_project(project: Path) -> Path:
    """A project with a chapter that runs once, one that runs in two seeds, and a front page."""
    import yaml

    for folder in ("book", "params"):
        (project / folder).mkdir(parents=True)
    (project / "_config.yml").write_text("title: Toy\n")
    (project / "_toc.yml").write_text(yaml.safe_dump(TOC))
    (project / "params" / "toy.yaml").write_text("profile: toy\nseeds: [0, 1]\n")
    for name, title, parameters, reads in (
        ("01_data", "The data", "", ""),
        ("02_model", "The model", "seed = 0", "01_data"),
        ("index", "The front page", "seeds = None", "01_data, 02_model"),
    ):
        text = CHAPTER.format(name=name[:2], title=title, parameters=parameters, reads=reads)
        (project / "book" / f"{name}.md").write_text(text)
    return project


def write_runs(project: Path) -> None:
    """Finished runs of every chapter."""
    for chapter, seed in (("01_data", None), ("02_model", 0), ("02_model", 1), ("index", None)):
        write_run(project, chapter, seed)


PROVENANCE = (
    '<details class="provenance"><summary>Provenance</summary><table class="table">'
    "<tr><th>data tier</th><td>synthetic</td></tr><tr><th>key</th><td>000000000000</td></tr>"
    "<tr><th>seconds</th><td>{}</td></tr></table></details>"
)
SECONDS = itertools.count()  # no two runs take the same time


def _notebook(shown: str) -> nbformat.NotebookNode:
    v4 = nbformat.v4
    image = base64.b64encode(picture("a")).decode()
    html = f'<figure><img alt="Bars." src="data:image/png;base64,{image}"></figure>{shown}'
    cells = [
        v4.new_markdown_cell("# A chapter", id="cell-000"),
        v4.new_code_cell('root = "a/path/of/this/machine"', metadata={"tags": ["injected-parameters"]}, id="cell-001"),
        v4.new_code_cell(
            "chapter.table(scores)",
            outputs=[
                v4.new_output("display_data", {"text/html": html}),
                v4.new_output("stream", name="stderr", text="a library's diary"),
            ],
            id="cell-002",
        ),
        v4.new_code_cell(
            "chapter.close()",
            outputs=[v4.new_output("display_data", {"text/html": PROVENANCE.format(next(SECONDS))})],
            id="cell-003",
        ),
    ]
    return v4.new_notebook(cells=cells, metadata={"papermill": {"input_path": "a/path/of/this/machine"}})
