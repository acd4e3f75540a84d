"""The extraction of this project as a process of its own, so that what it takes can be measured from outside."""

from __future__ import annotations

import argparse
from pathlib import Path

from jepascope import params
from jepascope.cohort.extract import extract


def main() -> None:
    """Extract a tree of MIMIC-IV's form into a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-gb", type=float, default=params.Extraction().memory_gb)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True)
    source = params.Source(kind="mimic", root=str(asked.root), data_end_year=2022)
    extract(asked.out, asked.root, source, params.Extraction(threads=asked.threads, memory_gb=asked.memory_gb))


if __name__ == "__main__":
    main()
