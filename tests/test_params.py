"""Parameters: everything wrong is said before anything runs."""

import json
from pathlib import Path

import pytest
import yaml

from jepascope.params import ParameterError, Profile, load_profile, params_folder

PROFILES = sorted(file.stem for file in params_folder().glob("*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_a_shipped_profile_is_valid_and_opens_with_its_command(name: str) -> None:
    assert load_profile(name).profile == name
    first = (params_folder() / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("#")
    assert "jepascope run" in first or "make book" in first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sae": {"featurs": 64}}, "unknown parameter 'featurs'; did you mean 'features'"),
        ({"trainning": {}}, "unknown parameter 'trainning'; did you mean 'training'"),
        ({"training": {"epochs": "ten"}}, "training.epochs"),
        ({"training": {"epochs": 1.5}}, "training.epochs"),
        ({"training": {"epochs": 0}}, "training.epochs.*greater than or equal to 1.*got 0"),
        ({"training": {"learning_rate": float("nan")}}, "training.learning_rate"),
        ({"model": {"width": 30, "heads": 4}}, "model.*multiple of model.heads"),
        ({"sae": {"features": 4, "active": 9}}, "sae.active .9. must be smaller"),
        ({"source": {"kind": "mimic"}}, "source.root"),
        ({"overrides": {1: {"training": {"epochs": -1}}}}, "training.epochs"),
        ({"overrides": {9: {"training": {"epochs": 1}}}}, "seed 9, which is not among"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(change: dict, message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        load_profile("ci", change)


def test_a_missing_profile_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"no profile 'sinthetic'.*known: .*synthetic"):
        load_profile("sinthetic")


def test_a_seeds_override_reaches_that_seed_only(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    change = {"training": {"epochs": 3}}
    file.write_text(yaml.safe_dump({"profile": "p", "seeds": [0, 1], "overrides": {1: change}}))
    default = Profile(profile="p").training.epochs
    assert [load_profile(file, seed=seed).training.epochs for seed in (None, 0, 1)] == [default, default, 3]
    injected = {"overrides": {"1": change}}  # as papermill hands it over
    assert load_profile(file, injected, seed=1).training.epochs == 3


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_handed_over_as_plain_data_is_the_same_profile(name: str) -> None:
    """Papermill injects sections as data; a default that changed its type on the way would look like a change."""
    profile = load_profile(name)
    again = load_profile(name, json.loads(json.dumps(profile.model_dump())))
    assert json.dumps(again.model_dump()) == json.dumps(profile.model_dump())
