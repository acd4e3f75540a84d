"""What any admission may have, whatever the concepts: the noise floor of the records, and the lists they draw from."""

from __future__ import annotations

from typing import NamedTuple

from jepascope.cohort.synthetic.concepts import Code


class Lab(NamedTuple):
    """A laboratory item: how often it is measured, and its values where nothing is wrong."""

    itemid: int
    label: str
    category: str
    unit: str
    measured: float  # share of admissions
    mean: float
    sd: float
    low: float  # reference range
    high: float


# ICD-10/ICD-9. Half of them belong to the patient (allergies, history, status) and come back at each admission.
_LASTING = """
Z87891/V1582 K219/53081 E039/2449 Z8673/V1254 N400/60000 M810/73300 Z880/V140 H409/3659 M109/2749 Z9049/V4579
K5730/56210 Z853/V103 M1991/71510 D869/135 L409/6961 I739/4439 G40909/34590 Z21/V08 M069/7140 K5090/5559
J45909/49390 Z89519/V4975 N529/60784 H9190/3899 D573/28260 E210/25200 G20/3320 I2720/4168 Z944/V427 G35/340
"""
_PASSING = """
R110/78702 D696/2875 E569/2692 R197/7877 I951/4580 K5900/56400 R131/78720 K5289/5589 D72829/28860 M6281/72887
J918/5119 K922/5789 R42/7804 L0390/6829 R550/7802 I447/4263 R112/78701 T8131XA/99832 K567/5601 R0602/78605
I214/41071 R569/78039 J479/4940 K859/5770 E162/2512 H8110/38611 I639/43491 L301/70581 I319/4239 K8020/57420
N3281/59651 R509/78060 Z20828/V0179 B370/1120 A0472/00845 S8001XA/92411 L259/6929 K631/56983 H5711/37991 T8189XA/99889
"""
_PROCEDURES = """
02HV33Z/3897 5A1D70Z/3995 30233N1/9904 0W3P8ZZ/4543 5A1945Z/9671 4A023N7/3722 0BH17EZ/9604 0DB68ZX/4516 B2111ZZ/8856
"""


def _zipf(block: str, top: float, exponent: float) -> tuple[Code, ...]:
    pairs = [entry.split("/") for entry in block.split()]
    return tuple(Code(icd10, icd9, top * (j + 1) ** -exponent) for j, (icd10, icd9) in enumerate(pairs))


LASTING = _zipf(_LASTING, top=0.45, exponent=0.55)
PASSING = _zipf(_PASSING, top=0.32, exponent=0.45)
PROCEDURES = _zipf(_PROCEDURES, top=0.22, exponent=0.6)

# The concept without a label: it makes ordinary things likelier, by this much where it is on.
UNLABELLED_PATTERN = (
    ("R197", 0.40), ("K5900", 0.40), ("R42", 0.45), ("R131", 0.40), ("I951", 0.40), ("R0602", 0.45),
)  # fmt: skip
UNLABELLED_DRUGS = (("Simethicone", 0.45), ("Famotidine", 0.45), ("Ramelteon", 0.40))

DRUGS = tuple(
    (name, 0.75 * (j + 1) ** -0.5)
    for j, name in enumerate(
        (
            "Sodium Chloride 0.9%  Flush", "Acetaminophen", "Heparin", "Docusate Sodium", "Senna", "Bisacodyl",
            "Ondansetron", "Pantoprazole", "Lactated Ringers", "HYDROmorphone (Dilaudid)", "Polyethylene Glycol",
            "Famotidine", "Influenza Vaccine Quadrivalent", "Omeprazole", "Milk of Magnesia", "Simethicone",
            "DiphenhydrAMINE", "Ramelteon", "Cyanocobalamin", "Levothyroxine Sodium", "Allopurinol", "Guaifenesin",
        )
    )
)  # fmt: skip

# Means and ranges of an adult inpatient; a concept shifts the mean by a multiple of sd.
LABS = tuple(
    Lab(*row)
    for row in (
        (50971, "Potassium", "Chemistry", "mEq/L", 0.92, 4.1, 0.45, 3.3, 5.1),
        (50983, "Sodium", "Chemistry", "mEq/L", 0.92, 138.5, 3.5, 133, 145),
        (50912, "Creatinine", "Chemistry", "mg/dL", 0.92, 0.9, 0.35, 0.5, 1.2),
        (51006, "Urea Nitrogen", "Chemistry", "mg/dL", 0.92, 16, 7, 6, 20),
        (50931, "Glucose", "Chemistry", "mg/dL", 0.88, 112, 28, 70, 105),
        (51222, "Hemoglobin", "Hematology", "g/dL", 0.92, 11.8, 1.6, 12, 17.5),
        (51301, "White Blood Cells", "Hematology", "K/uL", 0.92, 8.2, 2.8, 4, 11),
        (51265, "Platelet Count", "Hematology", "K/uL", 0.92, 225, 70, 150, 440),
        (50960, "Magnesium", "Chemistry", "mg/dL", 0.80, 2.0, 0.25, 1.6, 2.6),
        (50893, "Calcium, Total", "Chemistry", "mg/dL", 0.80, 8.8, 0.6, 8.4, 10.3),
        (50970, "Phosphate", "Chemistry", "mg/dL", 0.78, 3.4, 0.8, 2.7, 4.5),
        (51237, "INR(PT)", "Hematology", "", 0.60, 1.2, 0.4, 0.9, 1.1),
        (50878, "Asparate Aminotransferase (AST)", "Chemistry", "IU/L", 0.50, 34, 22, 0, 40),
        (50885, "Bilirubin, Total", "Chemistry", "mg/dL", 0.50, 0.6, 0.5, 0, 1.5),
        (50862, "Albumin", "Chemistry", "g/dL", 0.45, 3.7, 0.5, 3.5, 5.2),
        (51256, "Neutrophils", "Hematology", "%", 0.40, 66, 12, 34, 71),
        (50813, "Lactate", "Blood Gas", "mmol/L", 0.25, 1.6, 0.8, 0.5, 2),
        (50818, "pCO2", "Blood Gas", "mm Hg", 0.25, 40, 8, 35, 45),
        (51003, "Troponin T", "Chemistry", "ng/mL", 0.22, 0.03, 0.04, 0, 0.01),
        (50963, "NTproBNP", "Chemistry", "pg/mL", 0.15, 700, 500, 0, 353),
        (50915, "D-Dimer", "Hematology", "ng/mL", 0.12, 600, 500, 0, 500),
    )
)
