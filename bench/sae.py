"""How fast a sparse autoencoder is fitted: this project's sparse products beside four libraries, on the same rows.

    python bench/sae.py --scratch FOLDER [--seconds 20] [--repetitions 5] [--quick]

Prints, per size, rows a CPU second and what is left unexplained after the same CPU seconds, as medians over repetitions
that take turns, with the limits that matrix products and memory set; and whether SAELens reads what we export.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import measure
import numpy as np
import torch
from environments import NotRunError, install
from training_cost import gemm_rate

from jepascope.analysis import sae
from jepascope.pipeline.dictionary.dictionaries import export_to_saelens

HERE = Path(__file__).parent
OURS = "jepascope"
PEERS = {
    "sparsify": "eai-sparsify==1.3.3",
    "saelens": "sae-lens==6.54.12",
    "dictionary_learning": "dictionary-learning==0.1.0",
    "overcomplete": "overcomplete==0.3.0",
}
EXPORTED = ("topk", "matryoshka", "batch_topk", "jump_relu")
HEADER = ("who", "rows/CPU s", "ours ÷ it", "unexplained after the same time", "rows/wall s")


class Size(NamedTuple):
    """A size of autoencoder, and the rows it is fitted to."""

    D: int
    features: int
    active: int
    batch: int
    rows: int
    learning_rate: float


SIZES = (Size(256, 2048, 16, 4096, 65_536, 1e-3), Size(64, 256, 8, 1024, 32_768, 2e-3))


def planted_rows(folder: Path, size: Size) -> Path:
    """Write rows that are sparse sums of many directions, frequency ∝ 1 / rank, with mean 0 and variance 1."""
    if not (folder / "held_out.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        atoms = rng.standard_normal((size.features, size.D)).astype(np.float32)
        atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
        prevalence = 1 / np.arange(3, size.features + 3)
        prevalence *= size.active / prevalence.sum()
        n = size.rows + size.rows // 4
        f = (rng.random((n, size.features), np.float32) < prevalence) * rng.uniform(1, 2, (n, 1)).astype(np.float32)
        x = f @ atoms + 0.05 * rng.standard_normal((n, size.D)).astype(np.float32)
        x = ((x - x.mean(axis=0)) / x.std()).astype(np.float32)
        np.save(folder / "train.npy", x[: size.rows])
        np.save(folder / "held_out.npy", x[size.rows :])
    return folder


def interpreters(scratch: Path) -> dict[str, Path | NotRunError]:
    """Find a Python for every contender; a library that can't be had is its reason."""
    found: dict[str, Path | NotRunError] = {OURS: Path(sys.executable), f"{OURS}_dense": Path(sys.executable)}
    same_torch = f"torch=={torch.__version__.split('+')[0]}"
    for name, package in PEERS.items():
        try:
            # Each brings its own dependencies, and is timed with the PyTorch that we use.
            found[name] = install(scratch / name.replace("saelens", "sae_lens"), [package, same_torch]) / "python"
        except NotRunError as reason:
            found[name] = reason
    return found


def one_turn(python: Path, name: str, rows: Path, size: Size, seconds: float, seed: int) -> dict[str, float]:
    """Run a contender once. Raises NotRunError with its last words."""
    log = rows / f"{name}.log"
    options = {"features": size.features, "active": size.active, "batch": size.batch, "seconds": seconds, "seed": seed,
               "learning-rate": size.learning_rate}  # fmt: skip
    words = [python, HERE / "sae_contender.py", name, rows, *(f"--{key}={value}" for key, value in options.items())]
    library = {"PYTHONPATH": str(HERE.parent / "lib") if name.startswith(OURS) else "", "OMP_NUM_THREADS": "1"}
    if measure.run(list(map(str, words)), log, library).status:
        raise NotRunError(f"it ended early: {measure.tail(log, 1)}")
    return json.loads(log.read_text().strip().splitlines()[-1])


def compare(size: Size, rows: Path, pythons: dict[str, Path | NotRunError], asked: argparse.Namespace) -> float:
    """Print the table of one size; returns our rows a CPU second."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    failed = {name: python for name, python in pythons.items() if isinstance(python, NotRunError)}
    for repetition in range(asked.repetitions):
        # Back again, so that nobody always comes after the one that heats the machine most.
        for name in list(pythons)[:: -1 if repetition % 2 else 1]:
            if name not in failed:
                try:
                    taken[name].append(one_turn(pythons[name], name, rows, size, asked.seconds, repetition))
                except NotRunError as reason:
                    failed[name] = reason
    table(HEADER)
    ours = rates(taken[OURS])
    for name in pythons:
        if name in failed:
            print(f"| {name} | not run: {str(failed[name]).replace('|', '/')[:300]} |" + " |" * (len(HEADER) - 2))
            continue
        ratios = [mine / theirs for mine, theirs in zip(ours, rates(taken[name]), strict=True)]
        left = [turn["unexplained"] for turn in taken[name]]
        cells = (name, f"{statistics.median(rates(taken[name])):,.0f}",
                 "" if name == OURS else f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
                 f"{statistics.median(left):.4f} ({min(left):.4f} to {max(left):.4f})",
                 f"{statistics.median(turn['rows'] / turn['seconds'] for turn in taken[name]):,.0f}")  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)
    return statistics.median(ours)


def rates(turns: list[dict[str, float]]) -> list[float]:
    """Rows a CPU second, turn by turn."""
    return [turn["rows"] / turn["cpu_seconds"] for turn in turns]


def show_limits(size: Size, ours: float) -> None:
    """Print what the machine allows: the one dense product, choosing k of F, and passing over the pre-activations."""
    D, F, B = size.D, size.features, size.batch
    gemm = gemm_rate(B, D, F, "cpu") * 1e9
    pre = torch.randn(B, F)
    copying = B / best_seconds(pre.clone)
    choosing = B / best_seconds(lambda: pre.topk(size.active, dim=1, sorted=False))
    encoder, dense = gemm / (2 * D * F), gemm / (2 * D * F * 5)
    together = 1 / (1 / encoder + 1 / choosing)
    table(("limit", "rows/s", "of it reached"))
    for name, limit in {
        f"five dense products at {gemm / 1e9:,.0f} GFLOP/s": dense,
        "the encoder's product alone": encoder,
        "choosing k of F": choosing,
        "these two together": together,
        f"copying the pre-activations, {8 * F * copying / 1e9:,.1f} GB/s": copying,
    }.items():
        print(f"| {name} | {limit:,.0f} | {ours / limit:.0%} |", flush=True)


def best_seconds(run: Callable[[], object], times: int = 15) -> float:
    """The shortest of several runs, because it is to be a ceiling."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return min(found)


def check_export(scratch: Path, rows: Path, python: Path) -> bool:
    """Print how far SAELens' codes and reconstructions of what we export are from ours; returns whether all agree."""
    x = np.load(rows / "held_out.npy")[:500] * 3 + 1  # so that mean and scale matter
    table(("exported to SAELens", "largest difference in codes", "in reconstruction"))
    agree = True
    for variant in EXPORTED:
        settings = sae.Settings(variant, features=96, active=4, epochs=5, batch_rows=100)
        dictionary = sae.fit(x, settings, 0)
        folder = scratch / f"exported-{variant}"
        folder.mkdir(exist_ok=True)
        export_to_saelens(folder, dictionary)
        np.save(folder / "x.npy", x)
        log = folder / "log"
        if measure.run([python, HERE / "sae_lens_reads.py", folder], log).status:
            print(f"| {variant} | not run: {measure.tail(log, 1)} | |")
            agree = False
            continue
        f = sae.densify(sae.encode(dictionary, x))
        codes = np.abs(np.load(folder / "codes.npy") - f * dictionary.scale).max()
        x_hat = np.abs(np.load(folder / "x_hat.npy") - sae.decode(dictionary, f)).max()
        print(f"| {variant} | {codes:.1e} | {x_hat:.1e} |", flush=True)
        agree &= max(codes, x_hat) < 1e-3
    return agree


def table(header: tuple[str, ...]) -> None:
    """Print the head of a table."""
    print(f"\n| {' | '.join(header)} |\n|" + "---|" * len(header), flush=True)


def main() -> int:
    """Print every table; the exit status is 1 when SAELens reads something else than we wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for environments, rows and logs (kept)")
    parser.add_argument("--seconds", type=float, default=20, help="CPU seconds of a fit")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=[f"{OURS}_dense", *PEERS], help="contenders beside ours")
    parser.add_argument("--quick", action="store_true", help="one fit of a second each")
    asked = parser.parse_args()
    if asked.quick:
        asked.seconds, asked.repetitions = 1.0, 1
    torch.set_num_threads(1)
    asked.scratch.mkdir(parents=True, exist_ok=True)
    pythons = interpreters(asked.scratch)
    if asked.only is not None:
        pythons = {name: python for name, python in pythons.items() if name in (OURS, *asked.only)}
    for size in SIZES:
        rows = planted_rows(asked.scratch / f"rows-{size.D}", size)
        print(f"\n{os.cpu_count()} cores, one thread; D {size.D}, F {size.features}, k {size.active}, batches of "
              f"{size.batch:,}, {size.rows:,} rows, {asked.seconds:g} CPU seconds")  # fmt: skip
        show_limits(size, compare(size, rows, pythons, asked))
    reader = pythons.get("saelens")
    return 0 if not isinstance(reader, Path) or check_export(asked.scratch, rows, reader) else 1


if __name__ == "__main__":
    sys.exit(main())
