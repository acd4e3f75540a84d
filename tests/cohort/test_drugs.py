from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pandas as pd
import pytest

from jepascope.cohort import engine


def named(drugs: Sequence[str | None], drug_type: str = "MAIN") -> dict[str, tuple[str, str | None]]:
    """Return the name and the class of each text."""
    connection = duckdb.connect()
    engine.create(connection, "prescriptions", pd.DataFrame({"drug": drugs, "drug_type": drug_type}, dtype=object))
    engine.run(connection, "drugs")
    rows = connection.execute("select drug, name, parent from drug_ingredient").fetchall()
    assert len(rows) == len({drug for drug, _, _ in rows})
    return {drug: (name, parent) for drug, name, parent in rows}


def names(*drugs: str) -> list[str]:
    found = named(drugs)
    return [found[drug][0] for drug in drugs]


def test_case_brand_strength_form_and_salt_do_not_make_another_drug():
    written = [
        "HYDROmorphone (Dilaudid)", "hydromorphone", "HYDROmorphone-HP", "Hydromorphone HCl 2 mg Tablet",
        "*NF* HYDROmorphone", "Oral Hydromorphone [Dilaudid] 1mg/mL Solution", "2 mg HYDROmorphone",
        "Hydromorphone (unclosed",
    ]  # fmt: skip
    assert set(names(*written)) == {"hydromorphone"}


def test_a_remark_behind_a_dash_is_no_second_drug():
    assert names("PHENObarbital - ICU Alcohol Withdrawal (Loading Dose 1) ", "Furosemide-Heart Failure") == [
        "phenobarbital", "furosemide",
    ]  # fmt: skip


def test_the_second_word_of_a_mineral_is_kept():
    written = [
        "0.9% Sodium Chloride",
        "Sodium Chloride 0.9%  Flush",
        "Sodium Bicarbonate",
        "Calcium Gluconate sliding scale",
    ]
    assert names(*written) == ["sodium chloride", "sodium chloride", "sodium bicarbonate", "calcium gluconate"]
    # Behind another name, a mineral is a salt.
    assert names("Losartan Potassium", "Levothyroxine Sodium", "Docusate Sodium (Liquid)") == [
        "losartan", "levothyroxine", "docusate",
    ]  # fmt: skip


def test_acids_vitamins_and_nitrates_keep_what_tells_them_apart():
    assert names("FoLIC Acid", "Ascorbic Acid 500mg", "Vitamin D3 ", "Vitamin B Complex w/C") == [
        "folic acid", "ascorbic acid", "vitamin d", "vitamin b",
    ]  # fmt: skip
    assert names("Isosorbide Dinitrate ER", "Isosorbide Mononitrate (Extended Release)") == [
        "isosorbide dinitrate", "isosorbide mononitrate",
    ]  # fmt: skip


def test_a_combination_is_its_sorted_parts():
    written = [
        "Ipratropium-Albuterol Neb",
        "Albuterol-Ipratropium",
        "Albuterol/Ipratropium",
        "albuterol and ipratropium",
    ]
    assert set(names(*written)) == {"albuterol+ipratropium"}
    assert names("Dorzolamide 2%/Timolol 0.5% Ophth.", "OxyCODONE--Acetaminophen (5mg-325mg)") == [
        "dorzolamide+timolol", "acetaminophen+oxycodone",
    ]  # fmt: skip


def test_insulins_are_one():
    written = ["Insulin", "HumaLOG", "Insulin Glargine  (CVICU Protocol)", "70/30 insulin", "NPH Insulin", "Lantus"]
    assert set(names(*written)) == {"insulin"}


@pytest.mark.parametrize("code", ["N05AH03", "RXNORM//11289", "ATC//N05AH03", "NDC:0409-1234", "00409-1234", "C07AB"])
def test_a_code_is_left_as_it_is(code):
    assert named([code]) == {code: (code, None)}


def test_forms_alone_keep_their_first_word_and_nothing_makes_no_name():
    assert named(["Nasal Spray", "23", "", "-", None, "(Dilaudid)"]) == {
        "Nasal Spray": ("nasal", None),
        "23": ("23", None),
        "(Dilaudid)": ("dilaudid", None),
    }


def test_a_class_is_the_longest_stem_in_the_name():
    classes = {
        "Metoprolol Succinate XL": "-olol", "Labetalol": "-olol", "Lisinopril": "-pril", "Enalaprilat": "-pril",
        "Valsartan": "-sartan", "Simvastatin": "-vastatin", "LORazepam": "-azepam", "ALPRAZolam": "-azepam",
        "Ampicillin-Sulbactam": "-cillin", "CefTRIAXone": "cef-", "Cephalexin": "cef-", "Levofloxacin": "-oxacin",
        "Pantoprazole": "-prazole", "ARIPiprazole": "-piprazole", "Ondansetron": "-setron", "Sumatriptan": "-triptan",
        "SITagliptin": "-gliptin", "Empagliflozin": "-gliflozin", "Enoxaparin Sodium": "-parin", "Vancomycin": "-mycin",
        "Fluconazole": "-conazole", "Acyclovir": "-ciclovir", "Darunavir": "-navir", "RiTUXimab": "-mab",
        "Imatinib Mesylate": "-tinib", "OLANZapine": "-apine", "NIFEdipine": "-dipine", "Nevirapine": "-virine",
        "HydrALAZINE": "-dralazine", "Hydrochlorothiazide": "-tizide", "PredniSONE": "-pred-", "Gabapentin": "-gab-",
        "AzaCITIDine": "-citabine", "Famotidine": "-tidine", "Morphine Sulfate": "-orph-", "Nitrofurantoin": "nifur-",
        "Phenytoin Sodium": "-toin", "Zoledronic Acid": "-dronic",
    }  # fmt: skip
    found = named(list(classes))
    assert {drug: found[drug][1] for drug in classes} == classes


@pytest.mark.parametrize(
    "drug",
    ["Nystatin", "Calcium Carbonate", "Cosyntropin", "Nitroprusside Sodium", "Chlorpheniramine Maleate", "Orphenadrine",
     "quiniDINE Gluconate E.R.", "Pneumococcal Vac Polyvalent", "Acetaminophen", "Warfarin", "Insulin"],
)  # fmt: skip
def test_a_name_that_only_looks_like_a_stem_has_no_class(drug):
    assert named([drug])[drug][1] is None


def test_a_carrier_is_not_named():
    assert named(["0.9% Sodium Chloride"], "BASE") == {}


@pytest.mark.demo
def test_on_the_demo_names_are_fewer_than_texts_and_nearly_half_the_rows_have_a_class(demo_root):
    file = str(demo_root / "hosp" / "prescriptions.csv.gz")
    rows = duckdb.read_csv(file, all_varchar=True).df().query("drug_type != 'BASE'")["drug"]
    found = named(rows.unique().tolist())
    assert len(found) == rows.nunique() == 585
    assert len({name for name, _ in found.values()}) == 402
    assert rows.map(lambda drug: found[drug][1] is not None).mean() == pytest.approx(0.456, abs=1e-3)
