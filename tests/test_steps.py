"""Steps: made once, made again when something they depend on moves, resumed when killed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jepascope import steps
from jepascope.params import Training
from jepascope.store import StoreError, read_json, write_json

CALLS: list[Path] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def source(folder: Path, number: int) -> str:
    CALLS.append(folder)
    write_json(folder / "number.json", number)
    return "synthetic"


def doubled(folder: Path, source_folder: Path, training: Training) -> None:
    CALLS.append(folder)
    write_json(folder / "number.json", 2 * read_json(source_folder / "number.json"))


def interrupted(folder: Path, number: int) -> str:
    CALLS.append(folder)
    if not (folder / "half.json").exists():
        write_json(folder / "half.json", number)
        raise KeyboardInterrupt
    write_json(folder / "number.json", read_json(folder / "half.json"))
    return "synthetic"


def test_a_step_is_made_once_and_again_only_when_an_argument_or_an_inputs_content_moves(tmp_path: Path) -> None:
    def chain(number: int, epochs: int) -> int:
        made = steps.run_step(tmp_path / "source", source, number)
        return read_json(steps.run_step(tmp_path / "doubled", doubled, made, Training(epochs=epochs)) / "number.json")

    assert chain(1, 1) == 2
    assert len(CALLS) == 2
    assert chain(1, 1) == 2
    assert len(CALLS) == 2
    assert chain(1, 2) == 2
    assert len(CALLS) == 3
    assert chain(5, 2) == 10
    assert len(CALLS) == 5


def test_a_step_is_made_again_when_code_that_it_reaches_is_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps.run_step(tmp_path / "source", source, 1)
    monkeypatch.setattr(steps, "code_fingerprint", lambda text, leave_out, place: "edited")
    steps.run_step(tmp_path / "source", source, 1)
    assert len(CALLS) == 2


def test_a_killed_step_leaves_nothing_under_its_name_and_gets_its_partial_folder_back(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        steps.run_step(tmp_path / "step", interrupted, 7)
    assert not (tmp_path / "step").exists()
    assert read_json(steps.run_step(tmp_path / "step", interrupted, 7) / "number.json") == 7
    assert CALLS[0] == CALLS[1]
    assert {child.name for child in tmp_path.iterdir()} == {"step", ".step.lock"}


def test_a_step_that_another_process_is_making_is_waited_for_and_not_made_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, waiting = threading.Event(), threading.Event()

    def slow(folder: Path, number: int) -> str:
        begun.set()
        assert waiting.wait(60)
        return source(folder, number)

    monkeypatch.setattr(steps, "say", lambda text: waiting.set() if "another process" in text else None)
    with ThreadPoolExecutor(2) as pool:  # a lock knows open files, not processes: two threads are two to it
        first = pool.submit(steps.run_step, tmp_path / "step", slow, 1)
        assert begun.wait(60)
        second = pool.submit(steps.run_step, tmp_path / "step", slow, 1)
        assert first.result() == second.result() == tmp_path / "step"
    assert len(CALLS) == 1


def test_a_partial_folder_of_other_parameters_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        steps.run_step(tmp_path / "step", interrupted, 7)
    with pytest.raises(KeyboardInterrupt):
        steps.run_step(tmp_path / "step", interrupted, 8)
    assert read_json(steps.run_step(tmp_path / "step", interrupted, 8) / "number.json") == 8


def test_the_sidecar_says_what_made_the_files_and_what_they_hash_to(tmp_path: Path) -> None:
    sidecar = read_json(steps.run_step(tmp_path / "source", source, 3) / steps.SIDECAR)
    assert sidecar["arguments"] == [3]
    assert sidecar["tier"] == "synthetic"
    assert sidecar["files"]["number.json"]["sha256"] == steps.sha256(tmp_path / "source" / "number.json")


def test_the_tier_is_inherited_and_a_step_without_a_tier_is_refused(tmp_path: Path) -> None:
    made = steps.run_step(tmp_path / "source", source, 1)
    result = steps.run_step(tmp_path / "doubled", doubled, made, Training())
    assert read_json(result / steps.SIDECAR)["tier"] == "synthetic"
    foreign = tmp_path / "foreign"
    write_json(foreign / "number.json", 1)
    with pytest.raises(StoreError, match="one data tier"):
        steps.run_step(tmp_path / "untiered", doubled, foreign, Training())


def test_inputs_of_two_tiers_are_not_mixed(tmp_path: Path) -> None:
    made = steps.run_step(tmp_path / "source", source, 1)
    sidecar = read_json(made / steps.SIDECAR)
    write_json(made / steps.SIDECAR, {**sidecar, "tier": "credentialed"})
    other = steps.run_step(tmp_path / "other", source, 1)

    def both(folder: Path, a: Path, b: Path) -> None:
        write_json(folder / "x.json", 1)

    with pytest.raises(StoreError, match=r"credentialed.*synthetic"):
        steps.run_step(tmp_path / "both", both, made, other)


def test_a_step_takes_only_arguments_that_can_be_hashed(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not list"):
        steps.run_step(tmp_path / "step", source, [1])
