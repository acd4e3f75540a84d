"""A run's history: one row an epoch, as a table for the chapters and as TensorBoard scalars for who watches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from jepascope.store import LOG, read_table, write_table

HISTORY = "history.parquet"


class History:
    """The epochs so far. What a killed run left is kept up to `epochs`, where it goes on."""

    def __init__(self, folder: Path, epochs: int, writes: bool = True) -> None:
        stored = read_table(folder / HISTORY) if epochs else pd.DataFrame()
        self.rows: list[dict[str, Any]] = stored.to_dict("records")[:epochs]
        self._folder, self._writes = folder, writes
        self._writer = SummaryWriter(str(folder / LOG), purge_step=epochs) if writes else None

    def add(self, row: dict[str, Any]) -> None:
        """Append an epoch and write it out."""
        self.rows.append(row)
        if self._writer is None:
            return
        write_table(self._folder / HISTORY, pd.DataFrame(self.rows))
        for name, value in row.items():
            if isinstance(value, float):
                object_or_term = name.split("_")[0]
                self._writer.add_scalar(f"{object_or_term}/{name}", value, row["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the log."""
        if self._writer is not None:
            self._writer.close()
