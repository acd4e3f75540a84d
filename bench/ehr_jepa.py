"""The public repository Ashvin-Gupta/EHR-JEPA on the same patients and tokens: its input, its settings, its needs.

It has no licence, so nothing of it is here: it is run from a checkout that the user made. It reads a directory of MEDS
events; each of our tokens becomes one event at its encounter's admission, so both see the same tokens of the same
patients. (The records themselves, as `to-meds` writes them, would be other and many more events.) It knows no
encounters: a patient is one sequence of tokens, padded or cut to one length, and what is predicted are later tokens.
"""

from __future__ import annotations

import sys
from pathlib import Path

import measure
import numpy as np
import yaml
from environments import NotRunError

from jepascope import params
from jepascope.cohort.encounters import Encounters

REPOSITORY = "https://github.com/Ashvin-Gupta/EHR-JEPA"
NEEDED = "polars==1.40.1"  # what its requirements name, and this project doesn't have
SPLITS = {"train": "train", "validation": "tuning"}


def install(folder: Path) -> Path:
    """Put the one package that it needs besides ours into a folder of its own. Raises NotRunError.

    Everything else, PyTorch above all, is the same for both.
    """
    if not (folder / "installed").exists():
        log = folder.with_name(f"{folder.name}.log")
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--target", folder, NEEDED]
        if measure.run(command, log).status:
            raise NotRunError(f"{NEEDED} can't be installed: {measure.tail(log, 1)}")
        (folder / "installed").touch()
    return folder


def write_events(folder: Path, encounters: Encounters) -> Path:
    """Write every token as an event, by split, in the order of (subject_id, k); test patients stay out.

    Columns subject_id, time, code, numeric_value (none of our tokens has one) and hadm_id, by which we count.
    """
    n_tokens = np.diff(encounters.offsets)
    rows = encounters.index.loc[:, ["subject_id", "admittime", "hadm_id", "split"]].rename(
        columns={"admittime": "time"}
    )
    events = rows.loc[rows.index.repeat(n_tokens)].reset_index(drop=True)
    events["code"] = encounters.vocabulary["token"].to_numpy()[encounters.tokens]
    events["numeric_value"] = np.nan
    for ours, theirs in SPLITS.items():
        (folder / theirs).mkdir(parents=True, exist_ok=True)
        events[events["split"] == ours].drop(columns="split").to_parquet(folder / theirs / "0.parquet", index=False)
    return folder


def write_settings(file: Path, checkout: Path, events: Path, profile: params.Profile, length: int) -> Path:
    """Lay our sizes over its own settings: width, heads, layers, batch; a sequence of `length` tokens.

    Everything else is as it comes, except what would only slow it here: no worker processes, no effective rank while
    training, no checkpoints, and a cache that holds every patient. Raises NotRunError when `checkout` isn't one.
    """
    published = checkout / "configs" / "ehr_config.yaml"
    if not published.is_file():
        raise NotRunError(f"{checkout} is no checkout of {REPOSITORY}: it has no configs/ehr_config.yaml")
    settings, shape = yaml.safe_load(published.read_text()), profile.model
    ours = {
        "data": {"data_dir": str(events), "lookup_dir": None, "cache_dir": None,
                 "vocab_path": str(events / "vocabulary.json")},
        "model": {"d_model": shape.width, "embedding_type": "learned", "use_value": False, "use_time": True},
        "transformer": {"n_layers": shape.encoder_layers, "n_heads": shape.heads, "ffn_dim": 2 * shape.width},
        "predictor": {"n_layers": shape.context_layers, "n_heads": shape.heads},
        "training": {"max_seq_len": length, "batch_size": profile.training.batch_patients, "num_workers": 0,
                     "encode_cache_size": 10**9, "rank_me_every_n_steps": 0, "checkpoint_dir": "",
                     "wandb_log_every_n_steps": 1, "n_epochs": 10**6, "task": "pretrain"},
        "downstream": {"enabled": False},
        "wandb": {"enabled": False},
    }  # fmt: skip
    for section, values in ours.items():
        settings.setdefault(section, {}).update(values)
    file.write_text(yaml.safe_dump(settings))
    return file
