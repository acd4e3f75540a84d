"""The step that trains a JEPA: in this process, or shared by several that torchrun starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from jepascope import params
from jepascope.cohort import encounters as cohort_encounters
from jepascope.store import read_json, write_json
from jepascope.training import distributed
from jepascope.training.arms import make_arm
from jepascope.training.initial import new_model
from jepascope.training.loop import finish, fit
from jepascope.training.watch import CollapseError

REQUEST, COLLAPSED = "request.json", "collapsed.json"


def train(
    folder: Path, encounters: Path, model_params: params.Model, training_params: params.Training, seed: int
) -> None:
    """Train a JEPA under the arm of `training_params`: a step that resumes from what a killed attempt left in `folder`.

    `encounters` is the folder of an extraction. Leaves model.safetensors, model.json, teacher.safetensors (the target
    encoder; the same weights where target and representation are one) and history.parquet.
    Raises TrainingError when a step can't be taken, CollapseError when a gate closes.
    """
    if training_params.processes > distributed.world():
        _share(folder, encounters, model_params, training_params, seed)
        return
    cohort = cohort_encounters.load(encounters)
    model = new_model(len(cohort.vocabulary), model_params, seed)
    teacher = fit(folder, cohort, model, make_arm(training_params), training_params, seed)
    if distributed.rank() == 0:
        finish(folder, model, teacher)


def _share(
    folder: Path, encounters: Path, model_params: params.Model, training_params: params.Training, seed: int
) -> None:
    """Run `train` in `training.processes` processes of torchrun.

    Raises CollapseError when a gate closes in them, RuntimeError when one fails otherwise.
    """
    (folder / COLLAPSED).unlink(missing_ok=True)
    request = {"encounters": str(encounters.resolve()), "seed": seed}
    request |= {"model": model_params.model_dump(), "training": training_params.model_dump()}
    write_json(folder / REQUEST, request)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={training_params.processes}", "-m", "jepascope.training.step", str(folder)]
    done = subprocess.run(command, env={"OMP_NUM_THREADS": str(training_params.threads), **os.environ}, check=False)
    (folder / REQUEST).unlink()
    if (folder / COLLAPSED).exists():
        reason = read_json(folder / COLLAPSED)["reason"]
        (folder / COLLAPSED).unlink()
        raise CollapseError(reason)
    if done.returncode:
        raise RuntimeError(f"training in {training_params.processes} processes stopped; the log above says why")


def _join(folder: Path) -> None:
    """What each of torchrun's processes does."""
    request = read_json(folder / REQUEST)
    training = params.Training(**request["training"])
    on_gpu = training.device == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        train(folder, Path(request["encounters"]), params.Model(**request["model"]), training, request["seed"])
    except CollapseError as reason:  # the same in all processes: they judge the same batch
        if distributed.rank() == 0:
            write_json(folder / COLLAPSED, {"reason": str(reason)})
        raise
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    _join(Path(sys.argv[1]))
