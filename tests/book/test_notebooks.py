"""Chapters as files: a source that can't be read is named, with what is wrong in it."""

from pathlib import Path

import pytest

from jepascope.book.notebooks import ChapterError, read_chapter
from tests.book.sources import HEAD, PARAMETERS


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("reads: []", "reads: [[]", "is not valid YAML"),
        (":tags: [parameters]", ":tags: [parameters", "is not valid YAML"),
        ("reads: []", "reads: 01_extraction", r"holds lists, as in `reads: \[01_extraction\]`"),
        ("jepascope:\n  reads: []", "jepascope: []", r"holds lists, as in `reads: \[01_extraction\]`"),
        ("sae = None", "sae = (", r"a cell is not valid Python: '\(' was never closed, at 'sae = \('$"),
        ("sae = None", "sae: int = 3", "holds only `name = value` lines"),
    ],
)
def test_a_source_with_a_slip_is_answered_with_file_and_fault(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "05_one.md"
    path.write_text(HEAD + PARAMETERS)
    assert read_chapter(path).parameters == ("profile", "seed", "sae")
    path.write_text((HEAD + PARAMETERS).replace(old, new))
    with pytest.raises(ChapterError, match=rf"05_one.md: .*{message}"):
        read_chapter(path)
