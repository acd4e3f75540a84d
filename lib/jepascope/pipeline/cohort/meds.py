"""A profile's records and labels as a MEDS directory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from jepascope.cohort import encounters as cohort_encounters
from jepascope.cohort import engine
from jepascope.cohort.meds_out import write_meds
from jepascope.cohort.records import ingest, open_all
from jepascope.params import Profile
from jepascope.pipeline.cohort.records import find_records, planted


def export_meds(chapter: Path, profile: Profile, out: Path) -> None:
    """Write what the profile's extraction was made from, with its labels, to the new folder `out`.

    `chapter` is the folder of the finished extraction. Raises StoreError when there is none, or `out` holds something.
    """
    encounters = cohort_encounters.load(chapter / "encounters")
    root = planted(find_records(chapter / "records", profile.source, profile.synthetic))
    out.parent.mkdir(parents=True, exist_ok=True)
    extraction = profile.extraction
    with TemporaryDirectory(dir=out.parent, prefix=".records-") as scratch:
        records = ingest(Path(scratch), root, profile.source, extraction)
        with engine.connect(Path(scratch) / "export", extraction.memory_gb, extraction.threads) as connection:
            open_all(connection, records)
            write_meds(root, connection, encounters, extraction, out)
