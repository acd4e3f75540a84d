"""Tokens in words: from the source's dictionaries where they say something, else from the range of the code."""

from pathlib import Path

import pandas as pd
import pytest

from jepascope.cohort.titles import title, token_titles

NONE = {"ICD": {}, "PROC": {}, "LAB": {}}


def test_a_category_has_its_own_title_or_what_the_titles_of_its_codes_begin_with(tmp_path: Path) -> None:
    (tmp_path / "hosp").mkdir()
    rows = ["icd_code,icd_version,long_title", '"I480",10,"A flutter, type one"', '"I481",10,"A flutter, type two"',
            '"F32",10,"Low mood"', '"F320",10,"Low mood, mild"', '"K70",10,"Planted condition, coded K70"']  # fmt: skip
    (tmp_path / "hosp" / "d_icd_diagnoses.csv").write_text("\n".join(rows))
    (tmp_path / "hosp" / "d_labitems.csv").write_text("""itemid,label,fluid,category
50971,Potassium,Blood,Chemistry\n50809,Glucose,Blood,Blood Gas\n51478,Glucose,Urine,Hematology\n""")
    tokens = ["[CLS]", "ICD10//I48", "ICD10//F32", "ICD10//K70", "LAB//50971//Q10", "LAB//50971", "LAB//51478//Q1"]
    assert token_titles(pd.DataFrame({"token": tokens}), tmp_path) == [
        "[CLS]", "A flutter, type (I48)", "Low mood (F32)", "liver (K70)", "potassium, highest tenth", "potassium",
        "glucose (urine, hematology), lowest tenth",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("ICD10//F31", "bipolar disorder (F31)"),
        ("ICD10//F30-F39", "diagnosis F30-F39"),
        ("ICD10//E78", "lipid disorder (E78)"),
        ("ICD9//296", "diagnosis ICD-9 296"),
        ("PROC10//02H", "procedure 02H"),
        ("DRUG//lithium", "lithium"),
        ("LAB//1//Q1", "laboratory: 1, lowest tenth"),
        ("TO//HOSPICE", "discharged: hospice"),
        ("ICU", "ICU"),
    ],
)
def test_without_dictionaries_a_code_has_the_words_of_its_range_or_stands_for_itself(token: str, words: str) -> None:
    assert title(token, NONE) == words
