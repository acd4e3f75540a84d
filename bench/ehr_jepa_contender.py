"""EHR-JEPA's own training loop, unchanged, as a process that takes turns: the loop calls back after every step."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from turns import Step, Turns


class Counted:
    """Its loader of batches, which also notes what the last one held."""

    def __init__(self, loader: Any, events: pd.DataFrame) -> None:
        self._loader = loader
        self._tokens = events.groupby("subject_id").size()
        self._encounters = events.groupby("subject_id")["hadm_id"].nunique()
        self.batch: dict[str, torch.Tensor] = {}

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        for batch in self._loader:
            self.batch = batch
            yield batch

    def count(self, subjects: torch.Tensor, codes: torch.Tensor) -> Step:
        """Count a batch; of a patient whose sequence was cut, encounters in proportion to the tokens that were kept."""
        patients, length = subjects.tolist(), codes.shape[1]
        tokens = self._tokens[patients]
        kept = tokens.clip(upper=length)
        return Step(float((self._encounters[patients] * kept / tokens).sum()), float(kept.sum()), codes.numel(), 0.0)


def main() -> None:
    """Train until there are no more turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("settings", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    turns = Turns()  # before its programs print anything
    # Before our own folder, where a module has the name of one of its packages.
    sys.path.insert(0, str(asked.checkout))
    import main as theirs

    settings = theirs.load_config(str(asked.settings))
    theirs.set_seed(settings["seed"])
    vocabulary = theirs._ensure_vocab(settings)
    trainer = theirs.build_model(settings, vocabulary)
    loader, _ = theirs.build_loaders(settings, vocabulary, None)
    for i in range(len(loader.dataset)):  # into its cache: not a part of what is timed
        loader.dataset[i]
    counted = Counted(loader, pd.read_parquet(Path(settings["data"]["data_dir"]) / "train" / "0.parquet"))
    turns.wait()

    def after_step(*_: object) -> None:
        turns.after_step(partial(counted.count, counted.batch["subject_ids"], counted.batch["codes"]))

    trainer.train_loop(counted, on_batch_end=after_step)


if __name__ == "__main__":
    main()
