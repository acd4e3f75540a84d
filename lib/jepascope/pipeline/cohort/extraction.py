"""Records to encounters."""

from __future__ import annotations

from pathlib import Path

from jepascope import params
from jepascope.cohort import encounters
from jepascope.cohort.extract import extract
from jepascope.pipeline.cohort.records import planted


def extract_encounters(folder: Path, records: Path, source: params.Source, extraction: params.Extraction) -> str:
    """The step that extracts `records`; returns the data tier, which the loader decides by what it read.

    `records` holds hosp/ and icu/, or is the step that wrote the planted cohort.
    """
    extract(folder, planted(records), source, extraction)
    return encounters.load(folder).tier
