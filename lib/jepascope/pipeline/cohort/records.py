"""Where the records are: the planted cohort written out, or the folder that the profile names."""

from __future__ import annotations

from pathlib import Path

from jepascope import params
from jepascope.cohort.synthetic import synthesize
from jepascope.params import project_root
from jepascope.steps import run_step


def find_records(folder: Path, source: params.Source, synthetic: params.Synthetic) -> Path:
    """Return the folder that holds the records, writing the planted cohort into `folder` when the source asks for it.

    A relative `source.root` is relative to the project. Whether the folder holds what extraction needs is
    extraction's to say.
    """
    if source.kind == "synthetic":
        return run_step(folder, write_planted, synthetic)
    assert source.root is not None
    return project_root() / source.root


def planted(records: Path) -> Path:
    """Where the tables are in what `find_records` found: the step that wrote the planted cohort keeps them inside."""
    return records / "planted" if (records / "planted").is_dir() else records


def write_planted(folder: Path, synthetic: params.Synthetic) -> str:
    """The step that writes the planted cohort: MIMIC-IV's tables and, apart from them, the truth."""
    synthesize(folder / "planted", synthetic)
    return "synthetic"
