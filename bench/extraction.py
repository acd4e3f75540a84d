"""What the extraction takes, in time and memory, at fractions of MIMIC-IV 3.1's size; beside two other ways.

    python bench/extraction.py --scratch FOLDER [--fractions 1/64 1/16 1/4] [--peers]

Prints a Markdown table row by row, and whether memory and time keep their bars. Exit status 1: a bar is broken.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import meds_etl
import numpy as np
import pandas as pd
from environments import NotRunError
from measure import Measured, run, tail
from synthetic_tree import FORMATS, write_tree

from jepascope.cohort.encounters import load

HERE = Path(__file__).parent
HEADER = ("fraction", "who", "rows in", "wall s", "CPU s", "rows/s", "peak GiB", "wall ÷ ours", "memory ÷ ours",
          "encounters", "out")  # fmt: skip
MAX_GIB = 2.0
# Time per row may grow by this much from the smallest size to the largest and still be called linear.
MAX_GROWTH = 1.25


class Outcome(NamedTuple):
    """What a run took and what came out of it."""

    took: Measured
    written: int
    unit: str  # of `written`: tokens or events
    hadm_id: np.ndarray | None  # [N] of the encounters, in order; None where the program makes none


class Row(NamedTuple):
    """One row of the table."""

    fraction: Fraction
    who: str
    input_rows: int
    outcome: Outcome


Runner = Callable[[Path, Path, int], Outcome]  # tree, scratch, threads


def run_library(root: Path, scratch: Path, threads: int) -> Outcome:
    """Run this project's extraction: encounters, tokens, labels."""
    out = scratch / "library-out"
    shutil.rmtree(out, ignore_errors=True)
    took = _run("library_extraction.py", root, out, "--threads", threads)
    found = load(out)
    shutil.rmtree(out)
    return Outcome(took, len(found.tokens), "tokens", found.index["hadm_id"].to_numpy())


def run_pandas(root: Path, scratch: Path, threads: int) -> Outcome:
    """Run the plain pandas version: encounters and tokens, no labels. It has no use for a second thread."""
    out = scratch / "pandas-out.parquet"
    took = _run("pandas_extraction.py", root, out)
    found = pd.read_parquet(out)
    out.unlink()
    return Outcome(took, int(found["tokens"].map(len).sum()), "tokens", found["hadm_id"].to_numpy())


def run_etl(root: Path, scratch: Path, threads: int) -> Outcome:
    """Run the public MEDS ETL: sorted events; no encounters, tokens or labels."""
    took, events = meds_etl.run(root, scratch, threads)
    return Outcome(took, events, "events", None)


def _run(script: str, *arguments: object) -> Measured:
    out = Path(str(arguments[1]))
    log = out.with_name(f"{Path(script).stem}.log")
    took = run([sys.executable, HERE / script, *map(str, arguments)], log)
    if took.status:
        reason = "killed, most likely for memory" if took.status == -9 else f"status {took.status}: {tail(log)}"
        raise NotRunError(f"it ended early ({reason})")
    return took


PEERS: dict[str, Runner] = {"pandas": run_pandas, "MEDS ETL": run_etl}


def measure_all(asked: argparse.Namespace) -> Iterator[Row | str]:
    """Run what was asked for, smallest first; a peer that can't be had is a line of the table, with its reason."""
    for fraction in sorted(asked.fractions):
        root = asked.scratch / f"tree-{fraction.numerator}-{fraction.denominator}-{asked.format}"
        rows = sum(write_tree(root, fraction, asked.format).values())
        runners: dict[str, Runner] = {"jepascope": run_library}
        if asked.peers and fraction in (asked.peer_fractions or [min(asked.fractions)]):
            runners |= PEERS
        for who, runner in runners.items():
            try:
                yield Row(fraction, who, rows, runner(root, asked.scratch, asked.threads))
            except NotRunError as reason:
                yield f"| {fraction} | {who} | not run: {_one_line(str(reason))} |" + " |" * (len(HEADER) - 3)


def show(row: Row, ours: Row | None) -> str:
    """Format one row of the table; ratios are to this project's run on the same tree."""
    took = row.outcome.took
    ratios = ("", "")
    if ours is not None:
        mine = ours.outcome.took
        ratios = (f"{took.seconds / mine.seconds:.1f}", f"{took.peak_gib / mine.peak_gib:.1f}" if mine.peak_gib else "")
    cells = (
        row.fraction, row.who, f"{row.input_rows:,}", f"{took.seconds:.1f}", f"{took.cpu_seconds:.1f}",
        f"{row.input_rows / took.seconds:,.0f}", f"{took.peak_gib:.2f}", *ratios,
        "" if row.outcome.hadm_id is None else f"{len(row.outcome.hadm_id):,}",
        f"{row.outcome.written:,} {row.outcome.unit}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def growth(rows: list[Row], field: str = "seconds") -> float:
    """Return how much dearer the last added rows were than the first added ones; 1 is linear time.

    Differences between sizes, where there are three: they are free of the seconds that any run takes to start, which
    would hide a curve. With two sizes, seconds per row.
    """
    seconds = np.array([getattr(row.outcome.took, field) for row in rows])  # [sizes]
    sizes = np.array([row.input_rows for row in rows])
    slopes = np.diff(seconds) / np.diff(sizes) if len(rows) > 2 else seconds / sizes
    return float(slopes[-1] / slopes[0])


def judge(rows: list[Row]) -> Iterator[tuple[bool, str]]:
    """Hold this project's runs against the bars, and its encounters against the pandas version's."""
    ours = [row for row in rows if row.who == "jepascope"]
    highest = max((row.outcome.took.peak_gib for row in ours), default=np.inf)
    yield highest < MAX_GIB, f"memory below {MAX_GIB:g} GiB at every size: at most {highest:.2f} GiB"
    if len(ours) > 1:
        wall, cpu = growth(ours), growth(ours, "cpu_seconds")
        words = f"× {wall:.2f} one of the smallest on the clock, × {cpu:.2f} of the CPU"
        # Below 0 the machine was busy with something else, and nothing is known.
        yield 0 < wall < MAX_GROWTH, f"time linear: a row of the largest size costs {words}"
    for row in rows:
        if row.who == "pandas":
            mine = next(other for other in ours if other.fraction == row.fraction).outcome
            same = np.array_equal(row.outcome.hadm_id, mine.hadm_id)
            share = row.outcome.written / mine.written
            yield same, f"pandas finds the same encounters at {row.fraction}, and × {share:.3f} the tokens"


def _one_line(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")[:300]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scratch",
        type=Path,
        required=True,
        help="folder for trees (kept for the next time), results and environments",
    )
    parser.add_argument("--fractions", type=Fraction, nargs="+", default=[Fraction(1, n) for n in (64, 16, 4)])
    parser.add_argument("--peers", action="store_true", help="run the others, too, on the smallest fraction")
    parser.add_argument("--peer-fractions", type=Fraction, nargs="+", help="run them on these instead")
    parser.add_argument("--format", choices=FORMATS, default="csv.gz")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    if asked.peers and asked.format == "parquet":
        parser.error("the others read csv: use --format csv.gz or csv with --peers")
    return asked


def main() -> int:
    """Print the table and the verdicts; returns 1 when a bar is broken."""
    asked = parse()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, {platform.machine()}, {asked.threads} threads, input as {asked.format}\n")
    print(f"| {' | '.join(HEADER)} |\n|" + "---|" * len(HEADER), flush=True)
    rows: list[Row] = []
    for row in measure_all(asked):
        if isinstance(row, str):
            print(row, flush=True)
            continue
        rows.append(row)
        ours = next((other for other in rows if other.who == "jepascope" and other.fraction == row.fraction), None)
        print(show(row, ours), flush=True)
    print()
    verdicts = list(judge(rows))
    for holds, words in verdicts:
        print(f"* {'holds' if holds else 'BROKEN'}: {words}")
    return int(not all(holds for holds, _ in verdicts))


if __name__ == "__main__":
    sys.exit(main())
