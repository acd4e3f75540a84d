"""One toy cohort and one tiny model trained on it, for every test that needs to look at one. A pytest plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort.encounters import Encounters
from jepascope.training.step import train
from tests.fixtures_encounters import TINY_MODEL, toy_encounters


@pytest.fixture(scope="session")
def toy() -> Encounters:
    """A toy cohort of 120 patients."""
    return toy_encounters(patients=120)


@pytest.fixture(scope="session")
def toy_folder(toy: Encounters, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy cohort, saved as an extraction is."""
    folder = tmp_path_factory.mktemp("toy")
    cohort_encounters.save(folder, toy)
    return folder


@pytest.fixture(scope="session")
def toy_model_folder(toy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny JEPA trained on the toy cohort for four epochs."""
    folder = tmp_path_factory.mktemp("toy_model")
    train(folder, toy_folder, TINY_MODEL, params.Training(epochs=4, batch_patients=24, learning_rate=3e-3), seed=0)
    return folder
