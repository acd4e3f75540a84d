from __future__ import annotations

from pathlib import Path

import pytest
from mimic_tree import Tables, read_tables

from jepascope import params
from jepascope.cohort.encounters import Encounters, load
from jepascope.cohort.extract import extract
from jepascope.cohort.synthetic import synthesize

DEMO = Path(__file__).parents[3] / "shared" / "mimic-iv-demo"


@pytest.fixture(scope="session")
def demo_root() -> Path:
    if not DEMO.is_dir():
        pytest.skip("the MIMIC-IV demo is not beside the checkout (../shared/mimic-iv-demo)")
    return DEMO


@pytest.fixture(scope="session")
def demo_encounters(demo_root, tmp_path_factory) -> Encounters:
    folder = tmp_path_factory.mktemp("demo")
    source = params.Source(kind="mimic", root=str(demo_root), release="demo-2.2")
    extract(folder, demo_root, source, params.Extraction())
    return load(folder)


@pytest.fixture(scope="session")
def demo_tables(demo_root) -> Tables:
    return read_tables(demo_root, ".csv.gz")


@pytest.fixture(scope="session")
def synthetic_root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("synthetic")
    synthesize(root, params.Synthetic(patients=300))
    return root
