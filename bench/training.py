"""How fast training is: the library's step beside the same model in plain padded PyTorch and a public EHR-JEPA.

    python bench/training.py --scratch FOLDER [--ehr-jepa CHECKOUT] [--repetitions 7] [--profile synthetic]

Prints Markdown tables: encounters a second with ratios of turns taken in alternation, the parts of a step, and how an
epoch grows. With --device cuda: the same in bfloat16, with the share of the GPU's measured matrix rate that is used.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import ehr_jepa
import torch
from environments import NotRunError
from training_contender import batches
from training_cost import gemm_rate
from training_scaling import GROWING, Size, breakdown, measure_growth
from turns import Contender, Turn

from jepascope import params
from jepascope.cohort.encounters import Encounters, load
from jepascope.cohort.extract import extract
from jepascope.cohort.synthetic import synthesize
from jepascope.models.encoder import BUCKET_TOKENS
from jepascope.models.jepa import Batch
from jepascope.training.batches import pack, patients_of, select
from jepascope.training.initial import new_model

HERE = Path(__file__).parent
OURS = "jepascope, packed"
NAMES = {"packed": OURS, "encounters": "padded, encounters one list", "patients": "padded, patients too"}
HEADER = ("who", "encounters/s", "encounters/CPU s", "ours ÷ it, wall", "ours ÷ it, CPU", "positions per token",
          "model GFLOP/s", "peak GiB")  # fmt: skip
WARM_UP = 2  # turns that aren't counted: the first steps allocate


def planted_cohort(scratch: Path, profile: params.Profile) -> Path:
    """Write and extract the profile's planted cohort, unless a former run has left it in the scratch folder."""
    records, encounters = (scratch / f"{name}-{profile.profile}" for name in ("records", "encounters"))
    if not encounters.exists():
        partial = encounters.with_name(f"{encounters.name}.partial")
        partial.mkdir(exist_ok=True)
        synthesize(records, profile.synthetic)
        extract(partial, records, profile.source, profile.extraction)
        partial.rename(encounters)
    return encounters


def start(asked: argparse.Namespace, encounters: Path, profile: params.Profile) -> Iterator[Contender | str]:
    """Start every contender; one that can't be had is a line of the table, with its reason."""
    library = {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(HERE.parent / "lib")]))}
    for way, name in NAMES.items():
        command = [sys.executable, HERE / "training_contender.py", encounters, way, "--profile", profile.profile,
                   "--device", asked.device]  # fmt: skip
        yield Contender(name, command, asked.scratch / f"{way}.log", library)
    name = f"EHR-JEPA, {asked.ehr_jepa_length} tokens"
    try:
        if asked.ehr_jepa is None:
            raise NotRunError(f"give the folder of a checkout of {ehr_jepa.REPOSITORY} as --ehr-jepa")
        settings = asked.scratch / "ehr-jepa.yaml"
        events = asked.scratch / f"events-{profile.profile}"
        ehr_jepa.write_settings(settings, asked.ehr_jepa, events, profile, asked.ehr_jepa_length)
        ehr_jepa.write_events(events, load(encounters))
        needed = ehr_jepa.install(asked.scratch / "ehr-jepa-needs")
        command = [sys.executable, HERE / "ehr_jepa_contender.py", asked.ehr_jepa, settings,
                   "--threads", str(profile.training.threads)]  # fmt: skip
        yield Contender(name, command, asked.scratch / "ehr_jepa.log", {"PYTHONPATH": str(needed)})
    except NotRunError as reason:
        yield not_run(name, reason)


def alternate(contenders: list[Contender], seconds: float, repetitions: int) -> tuple[dict[str, list[Turn]], list[str]]:
    """Let contenders take turns, there and back again; returns turns by name, and lines for those that failed."""
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    failed: list[str] = []
    for repetition in range(-WARM_UP, repetitions):
        # Back again, so that nobody always comes after the one that heats the machine most.
        for contender in contenders[:: -1 if repetition % 2 else 1]:
            if contender.name in turns:
                try:
                    turn = contender.turn(seconds if repetition >= 0 else 0)
                except NotRunError as reason:
                    failed.append(not_run(contender.name, reason))
                    del turns[contender.name]
                    continue
                if repetition >= 0:
                    turns[contender.name].append(turn)
    return turns, failed


def show(name: str, turns: list[Turn], ours: list[Turn], on_gpu: bool) -> str:
    """Format one row: medians over turns, and the median ratio of turns of the same round, with its range."""
    wall, cpu = rates(turns), rates(turns, "cpu_seconds")
    ratios = ["", ""] if turns is ours else [ratio(rates(ours), wall), ratio(rates(ours, "cpu_seconds"), cpu)]
    flops = statistics.median(turn.work.flops / turn.seconds / 1e9 for turn in turns)
    cells = (name, f"{statistics.median(wall):,.0f}", "" if on_gpu else f"{statistics.median(cpu):,.0f}",
             ratios[0], "" if on_gpu else ratios[1],
             f"{sum(turn.work.positions for turn in turns) / sum(turn.work.tokens for turn in turns):.2f}",
             f"{flops:,.1f}" if flops else "", f"{max(turn.peak_gib for turn in turns):.2f}")  # fmt: skip
    return f"| {' | '.join(cells)} |"


def rates(turns: list[Turn], clock: str = "seconds") -> list[float]:
    """Encounters a second, turn by turn."""
    return [turn.work.encounters / getattr(turn, clock) for turn in turns]


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Format the median ratio of rates in the same round, and the least and the largest."""
    found = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return f"{statistics.median(found):.2f} ({min(found):.2f} to {max(found):.2f})"


def not_run(name: str, reason: NotRunError) -> str:
    """Format the row of a contender that can't be had."""
    text = str(reason).replace("|", "/").replace("\n", " ")[:300]
    return f"| {name} | not run: {text} |" + " |" * (len(HEADER) - 2)


def compare(asked: argparse.Namespace, encounters: Path, profile: params.Profile) -> float:
    """Print the table of contenders; returns our median GFLOP/s."""
    started = list(start(asked, encounters, profile))
    contenders = [contender for contender in started if isinstance(contender, Contender)]
    turns, lines = alternate(contenders, asked.seconds, asked.repetitions)
    for contender in contenders:
        contender.close()
    if OURS not in turns:
        raise NotRunError("; ".join(lines))
    table(HEADER)
    for name, taken in turns.items():
        print(show(name, taken, turns[OURS], asked.device == "cuda"))
    print(*lines, *(line for line in started if isinstance(line, str)), sep="\n", flush=True)
    return statistics.median(turn.work.flops / turn.seconds / 1e9 for turn in turns[OURS])


def show_parts(cohort: Encounters, profile: params.Profile, steps: int) -> None:
    """Print where a step's time goes, and how its arithmetic compares with a matrix product's."""
    packed, training = pack(cohort), profile.training
    drawn: Iterator[Batch] = (
        select(packed, torch.from_numpy(patients))
        for patients in batches(patients_of(cohort, "train"), training.batch_patients, seed=0)
    )
    model = new_model(len(cohort.vocabulary), profile.model, 0)
    parts, gflop = breakdown(model, profile.model, drawn, training, steps)
    whole = sum(parts.values())
    table(("part of a step", "CPU ms", "share"))
    for name, milliseconds in parts.items():
        print(f"| {name} | {milliseconds:.1f} | {milliseconds / whole:.0%} |")
    print(
        f"\nA step is {gflop:.2f} GFLOP, {1000 * gflop / whole:.1f} GFLOP per CPU second. Matrix products of its size"
    )
    show_gemm(1000 * gflop / whole, profile.model.width, "cpu")


def show_gemm(ours: float, width: int, device: str) -> None:
    """Print the rates of matrix products here, and the share of them that the training reaches."""
    shapes = {
        "of the MLP": (BUCKET_TOKENS[device], width, 2 * width),
        "square": (4096,) * 3 if device == "cuda" else (768,) * 3,
    }
    for name, shape in shapes.items():
        rate = gemm_rate(*shape, device)
        print(f"* {name}, {' × '.join(map(str, shape))}: {rate:,.0f} GFLOP/s, of which training uses {ours / rate:.1%}")
    print(flush=True)


def show_growth(training: params.Training, device: str, repetitions: int) -> None:
    """Print how an epoch grows with one thing while the rest stays; in encounters linear is the claim."""
    table(("grows", "values", "encounters/CPU s" if device == "cpu" else "encounters/s", "exponent of time"))
    for grows, values in GROWING.items():
        found = measure_growth(grows, values, Size(), training, device, repetitions)
        cells = (grows, " ".join(map(str, found.values)), " ".join(f"{rate:,.0f}" for rate in found.rates),
                 f"{found.exponent:.2f}")  # fmt: skip
        print(f"| {' | '.join(cells)} |", flush=True)


def table(header: tuple[str, ...]) -> None:
    """Print the head of a table."""
    print(f"\n| {' | '.join(header)} |\n|" + "---|" * len(header), flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the cohort (kept) and logs")
    parser.add_argument("--profile", default="synthetic", help="its cohort, model and training are used")
    parser.add_argument("--encounters", type=Path, help="an extraction to use instead of the profile's planted cohort")
    parser.add_argument("--ehr-jepa", type=Path, help=f"a checkout of {ehr_jepa.REPOSITORY}")
    parser.add_argument("--ehr-jepa-length", type=int, default=256, help="tokens of a patient that it reads")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3, help="of a turn; it takes one step at least")
    parser.add_argument("--quick", action="store_true", help="one short turn each, and no growth")
    return parser.parse_args()


def main() -> int:
    """Print every table."""
    asked = parse()
    asked.scratch.mkdir(parents=True, exist_ok=True)
    if asked.quick:
        asked.repetitions, asked.seconds = 1, 0.0
    profile = params.load_profile(asked.profile)
    torch.set_num_threads(profile.training.threads)
    encounters = asked.encounters or planted_cohort(asked.scratch, profile)
    cohort = load(encounters)
    print(f"{os.cpu_count()} cores, {platform.machine()}, {profile.training.threads} threads, {asked.device}; "
          f"{len(cohort.index):,} encounters, {len(cohort.tokens) / len(cohort.index):.1f} tokens each, "
          f"batches of {profile.training.batch_patients} patients, width {profile.model.width}")  # fmt: skip
    gflops = compare(asked, encounters, profile)
    if asked.device == "cuda":
        print(f"\nWith {torch.cuda.get_device_name()}, matrix products in bfloat16")
        show_gemm(gflops, profile.model.width, "cuda")
    else:
        show_parts(cohort, profile, steps=2 if asked.quick else 30)
    if not asked.quick:
        show_growth(profile.training, asked.device, asked.repetitions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
