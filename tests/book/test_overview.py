"""The front page's table: claims stand in the group that their verdicts over all seeds put them in."""

import json
import re
from pathlib import Path

import pytest

from jepascope.book.tables.claims import claims_overview, how_it_fared


@pytest.mark.parametrize(
    ("verdicts", "fared"),
    [
        (["holds", "holds"], "holds in every seed"),
        (["holds", "does not hold"], "depends on the seed"),
        (["does not hold", "does not hold"], "holds in no seed"),
        (["holds", "not computable here: 3 patients, 20 needed"], "holds in every seed"),
        (["not computable here: real records"] * 2, "not computable here"),
        (["not licensed: control 'x' missing"], "not computable here"),
    ],
)
def test_a_claim_holds_in_every_seed_only_if_no_seed_speaks_against_it(verdicts: list[str], fared: str) -> None:
    assert how_it_fared(verdicts) == fared


def entry(name: str, verdict: str, seed: int) -> dict[str, object]:
    number = {"value": 0.6, "low": 0.5, "high": 0.7, "n_rows": 10, "n_patients": 5}
    return {
        "id": name, "statement": f"{name} is so", "tag": "descriptive", "rule": "above 0", "verdict": verdict,
        "estimate": number, "null_name": "shuffled", "null": number, "untrained": None, "seed": seed,
    }  # fmt: skip


def test_every_claim_has_one_row_under_its_group_and_the_groups_are_counted(tmp_path: Path) -> None:
    files = []
    for seed, verdicts in enumerate((("holds", "holds", "does not hold"), ("holds", "does not hold", "does not hold"))):
        claims = [entry(name, verdict, seed) for name, verdict in zip("abc", verdicts, strict=True)]
        result = {"chapter": "05_x", "claims": claims, "provenance": {"commit": "c"}}
        files.append(tmp_path / f"{seed}.json")
        files[-1].write_text(json.dumps(result))
    table = claims_overview(files)
    words = re.sub(r"<[^>]+>", "|", table)
    groups = re.findall(r"1 claim: ([a-z ]+)", words)
    assert groups == ["holds in every seed", "depends on the seed", "holds in no seed"]
    assert words.index("a is so") < words.index("depends") < words.index("b is so") < words.index("c is so")
    assert table.count("<tr>") == 1 + 3
