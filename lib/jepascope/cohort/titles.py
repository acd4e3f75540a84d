"""Words for tokens: a card that says F32 is read by coders only.

Titles come from the dictionaries that a source brings along. Where it has none, or one that merely repeats the code, a
diagnosis has the words of its range below: a rough orientation, in our own words, and not the classification's text.
"""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pandas as pd

from jepascope.cohort.source import SUFFIXES

# ICD-10 ranges of categories: one is found under the narrowest range that holds it.
RANGES = """
A00-B99 infection|A00-A09 intestinal infection|A40-A41 sepsis|B15-B19 viral hepatitis|B20-B24 HIV|B35-B49 mycosis
B95-B97 named pathogen|C00-C97 cancer|C15-C26 cancer of the digestive organs|C30-C39 cancer of the chest
C50-C50 breast cancer|C76-C80 metastatic cancer|C81-C96 blood cancer|D00-D49 tumour, not malignant|D50-D64 anaemia
D57-D57 sickle-cell disease|D65-D69 coagulation disorder|D70-D77 disorder of blood cells|D80-D89 immune disorder
E00-E07 thyroid disorder|E08-E13 diabetes|E15-E16 glucose disorder|E20-E35 endocrine disorder|E40-E46 malnutrition
E50-E64 vitamin deficiency|E65-E68 obesity|E70-E90 metabolic disorder
E78-E78 lipid disorder|E87-E87 electrolyte disorder
F01-F09 organic mental disorder|F01-F03 dementia|F10-F10 alcohol|F11-F11 opioids|F12-F12 cannabis|F13-F13 sedatives
F14-F14 cocaine|F15-F15 stimulants|F16-F16 hallucinogens|F17-F17 tobacco|F18-F19 other substances
F20-F20 schizophrenia|F21-F24 delusional disorder|F25-F25 schizoaffective disorder|F28-F29 psychosis
F30-F31 bipolar disorder|F32-F33 depression|F34-F39 mood disorder|F40-F41 anxiety|F42-F42 obsessive-compulsive disorder
F43-F43 stress disorder|F44-F48 somatoform disorder|F50-F50 eating disorder|F51-F51 sleep disorder
F52-F59 behavioural syndrome|F60-F69 personality disorder|F70-F79 intellectual disability|F80-F89 developmental disorder
F90-F98 disorder of childhood|F99-F99 mental disorder|G00-G99 nervous system|G20-G26 movement disorder
G20-G20 Parkinson's disease|G30-G32 brain degeneration|G35-G37 demyelination|G40-G41 epilepsy|G43-G44 headache
G47-G47 sleep apnoea or insomnia|G89-G89 pain|H00-H59 eye|H60-H95 ear|I00-I99 circulation|I10-I16 hypertension
I20-I25 coronary disease|I26-I28 pulmonary circulation|I30-I52 heart disease|I44-I49 arrhythmia|I50-I50 heart failure
I60-I69 stroke|I70-I79 arterial disease|I80-I89 venous disease|I95-I95 hypotension|J00-J99 respiratory system
J09-J18 pneumonia or influenza|J40-J47 chronic airway disease|J60-J70 aspiration or inhalation|J90-J94 pleura
J95-J99 respiratory failure|K00-K95 digestive system|K00-K14 mouth|K20-K31 gullet and stomach|K35-K38 appendix
K50-K52 bowel inflammation|K55-K64 bowel|K65-K68 peritoneum|K70-K77 liver|K80-K87 gallbladder and pancreas
K92-K92 digestive bleeding|L00-L99 skin|M00-M99 muscles and joints|M05-M14 arthritis or gout|M15-M19 arthrosis
M45-M54 spine|M80-M85 bone density|N00-N99 kidneys and urinary tract|N17-N19 kidney failure|N20-N23 stones
N30-N39 urinary infection or disorder|N40-N53 male organs|N60-N98 female organs|O00-O99 pregnancy|P00-P96 newborn
Q00-Q99 malformation|R00-R99 symptom or finding|R00-R09 symptom of heart or breathing|R10-R19 abdominal symptom
R25-R29 symptom of movement|R40-R46 symptom of cognition or mood|R50-R69 general symptom|R65-R65 septic shock
R73-R73 raised glucose|S00-T88 injury or poisoning|S00-S09 head injury|S20-S29 chest injury|S70-S79 hip injury
T36-T50 drug poisoning or effect|T80-T88 complication of care|V00-Y99 external cause|W00-W19 fall|X71-X83 self-harm
Z00-Z99 circumstances|Z20-Z29 exposure|Z55-Z65 social circumstances|Z66-Z66 resuscitation status|Z68-Z68 body mass
Z79-Z79 long-term drugs|Z80-Z84 family history|Z85-Z87 own history|Z88-Z88 allergy|Z89-Z90 acquired absence
Z91-Z92 risk factor|Z94-Z94 transplant|Z95-Z99 implant or device
"""
ENDS = {"Q1": "lowest tenth", "Q2": "low", "Q9": "high", "Q10": "highest tenth", "abnormal": "abnormal"}
PLAIN = {"AGE": "age", "SEX": "sex", "LOS": "days in hospital:", "TO": "discharged:", "FROM": "from:",
         "TYPE": "admission:", "SERVICE": "service:", "UNIT": "unit:", "DRUGCLASS": "drug class:",
         "LAB": "laboratory:"}  # fmt: skip


def token_titles(vocabulary: pd.DataFrame, root: Path) -> list[str]:
    """A readable title for each token of an Encounters vocabulary (V rows), with the code in brackets where one is.

    root is the folder of the records, whose `hosp/d_icd_diagnoses`, `d_icd_procedures` and `d_labitems` are read where
    they are there. Raises nothing for a missing dictionary: the bare code is a title as well.
    """
    read = {
        "ICD": _dictionary(root, "d_icd_diagnoses"),
        "PROC": _dictionary(root, "d_icd_procedures"),
        "LAB": _dictionary(root, "d_labitems"),
    }
    return [title(token, read) for token in vocabulary["token"]]


def title(token: str, dictionaries: dict[str, dict[str, str]]) -> str:
    """One token in words. dictionaries: ICD and PROC map `version//code`, LAB maps an item, to the source's title."""
    head, _, rest = token.partition("//")
    if coded := re.fullmatch(r"(ICD|PROC)(9|10)", head):
        kind, version = coded.groups()
        words = _category(rest, version, dictionaries[kind])
        words = words or (_range_words(rest) if (kind, version) == ("ICD", "10") else "")
        bare = rest if version == "10" else f"ICD-{version} {rest}"
        return f"{words} ({bare})" if words else f"{'procedure' if kind == 'PROC' else 'diagnosis'} {bare}"
    if head == "LAB":
        item, _, end = rest.partition("//")
        named = dictionaries["LAB"].get(item, f"{PLAIN['LAB']} {item}").lower()
        return f"{named}, {ENDS.get(end, end)}" if end else named
    if head == "DRUG":
        return rest
    return f"{PLAIN[head]} {rest.lower() if head in ('TO', 'FROM', 'TYPE') else rest}" if head in PLAIN else token


def _category(category: str, version: str, titles: dict[str, str]) -> str:
    """The source's title of a category: its own, else the words that the titles of its codes begin with."""
    if own := titles.get(f"{version}//{category}"):
        return own
    within = [words.split() for code, words in titles.items() if code.startswith(f"{version}//{category}")]
    shared = takewhile(lambda column: len(set(column)) == 1, zip(*within, strict=False))  # to the shortest title's end
    return " ".join(column[0] for column in shared).rstrip(" ,;:-")


def _range_words(category: str) -> str:
    """Our own words for the narrowest range that holds an ICD-10 category, or a whole block of them (`F30-F39`)."""
    start, end = category[:3], category[-3:]
    found = [
        (_place(last) - _place(first), words)
        for first, last, words in re.findall(r"(\w\d\d)-(\w\d\d) ([^|\n]+)", RANGES)
        if first <= start and end <= last
    ]
    return min(found)[1] if found else ""


def _place(category: str) -> int:
    return ord(category[0]) * 100 + int(category[1:])


def _dictionary(root: Path, name: str) -> dict[str, str]:
    """Read a dictionary of the source, leaving out titles that merely repeat their own code."""
    file = next((file for suffix in SUFFIXES if (file := root / "hosp" / f"{name}{suffix}").is_file()), None)
    if file is None:
        return {}
    table = pd.read_parquet(file).astype(str) if file.suffix == ".parquet" else pd.read_csv(file, dtype=str)
    if name == "d_labitems":
        label, where = table["label"].fillna(""), table["fluid"].fillna("") + ", " + table["category"].fillna("")
        # Glucose is measured in blood, in urine and by two machines: a name that several items bear says where.
        return dict(
            zip(table["itemid"], label.where(~label.duplicated(keep=False), label + " (" + where + ")"), strict=True)
        )
    rows = zip(table["icd_version"], table["icd_code"].str.strip(), table["long_title"].fillna(""), strict=True)
    return {f"{version}//{code}": words for version, code, words in rows if code not in words}
