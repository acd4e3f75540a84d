"""The planted world: every concept with its dynamics, what it does to the patient, and the records it leaves.

Read the table as sentences: "heart failure is chronic, 9 % have it at first and 4 % of the rest acquire it per
encounter; it is coded I50.9 in three of four admissions, gets furosemide, and raises the hazard of a return".
A concept may only name concepts above it as parent or companion: one encounter is drawn from top to bottom.
"""

from __future__ import annotations

from typing import NamedTuple


class Chronic(NamedTuple):
    """Absorbing: once on, on for life."""

    start: float  # probability at the first encounter
    onset: float  # probability per later encounter


class Episodic(NamedTuple):
    """Two-state Markov chain over encounters."""

    prevalence: float  # stationary probability
    persistence: float  # P(on | was on)


class Shock(NamedTuple):
    """Independent of everything: patient, past, gap, length, severity. No model can predict it."""

    prevalence: float


class Driven(NamedTuple):
    """On after an encounter with `by` and without `unless`."""

    by: str
    unless: str
    chance: float = 0.9  # P(on | the rule holds)
    noise: float = 0.01  # P(on | it does not)


class Drift(NamedTuple):
    """A continuous level that moves with a slowly changing velocity; on while it is above the threshold."""

    threshold: float


class Cyclic(NamedTuple):
    """On in the first encounter of each period, in those patients who cycle at all."""

    share: float  # of patients
    period: int  # encounters
    chance: float = 0.95
    noise: float = 0.005


class LongMemory(NamedTuple):
    """Echo of a shock `lag` encounters ago: a shock leaves no other trace, so the last encounter says nothing."""

    of: str
    lag: int
    chance: float = 0.95
    noise: float = 0.005


Dynamics = Chronic | Episodic | Shock | Driven | Drift | Cyclic | LongMemory


class Code(NamedTuple):
    """A diagnosis or procedure in both ICD versions, with the probability that an encounter in the state has it."""

    icd10: str
    icd9: str
    loading: float


class Concept(NamedTuple):
    """One planted concept. `risk` is its log-hazard of a return; `severity` lengthens and endangers the stay."""

    name: str
    dynamics: Dynamics
    family: str  # patients differ in their liability to each family
    codes: tuple[Code, ...] = ()
    drugs: tuple[tuple[str, float], ...] = ()
    labs: tuple[tuple[str, float], ...] = ()  # shift of the value, in its standard deviations
    procedures: tuple[Code, ...] = ()
    parent: str | None = None  # on only while the parent is on
    companion: tuple[str, float] | None = None  # onset times this factor while the companion is on
    risk: float = 0.0
    severity: float = 0.0
    labelled: bool = True


FAMILIES = ("mental", "metabolic", "geriatric", "cancer", "other")

# fmt: off
CONCEPTS = (
    # ── chronic ──
    Concept("hypertension", Chronic(0.28, 0.025), "metabolic",
            (Code("I10", "4019", 0.75), Code("E785", "2724", 0.60), Code("Z8249", "V173", 0.35)),
            (("Lisinopril", 0.45), ("Amlodipine", 0.40))),
    Concept("diabetes", Chronic(0.20, 0.02), "metabolic",
            (Code("E119", "25000", 0.75), Code("Z794", "V5867", 0.50), Code("R739", "79029", 0.40)),
            (("Insulin", 0.65), ("MetFORMIN (Glucophage)", 0.40)), (("Glucose", 1.3),), risk=0.20, severity=0.2),
    Concept("coronary_disease", Chronic(0.15, 0.02), "metabolic",
            (Code("I2510", "41401", 0.75), Code("I259", "4149", 0.45), Code("Z9861", "V4582", 0.50)),
            (("Aspirin", 0.60), ("Atorvastatin", 0.50)), (("Troponin T", 0.8),), severity=0.2),
    Concept("heart_failure", Chronic(0.09, 0.04), "metabolic",
            (Code("I509", "4280", 0.75), Code("I429", "4254", 0.45), Code("I130", "40491", 0.45),
             Code("R600", "7823", 0.45)),
            (("Furosemide", 0.70), ("Metoprolol Succinate XL", 0.50)), (("NTproBNP", 2.0),),
            risk=0.70, severity=0.5),
    Concept("atrial_fibrillation", Chronic(0.11, 0.02), "geriatric",
            (Code("I4891", "42731", 0.75), Code("I519", "4299", 0.55), Code("R000", "7850", 0.35)),
            (("Warfarin", 0.50), ("Diltiazem", 0.40)), (("INR(PT)", 1.5),), severity=0.2),
    Concept("kidney_disease", Chronic(0.20, 0.06), "metabolic",
            (Code("N189", "5859", 0.75), Code("I129", "40390", 0.55), Code("N2581", "58881", 0.45)),
            (("Sevelamer CARBONATE", 0.45), ("Calcitriol", 0.40)),
            (("Creatinine", 1.5), ("Urea Nitrogen", 1.3)), parent="hypertension", risk=0.45, severity=0.3),
    Concept("copd", Chronic(0.09, 0.015), "other",
            (Code("J449", "496", 0.75), Code("J439", "4928", 0.40), Code("Z9981", "V462", 0.40)),
            (("Tiotropium Bromide", 0.55), ("Albuterol 0.083% Neb Soln", 0.60)), (("pCO2", 1.2),),
            risk=0.50, severity=0.2),
    Concept("malignancy", Chronic(0.09, 0.01), "cancer",
            (Code("C3490", "1629", 0.55), Code("C787", "1977", 0.50), Code("C779", "1969", 0.50),
             Code("C7951", "1985", 0.45)),
            (("Morphine Sulfate", 0.40),), (("Albumin", -0.6),), risk=0.45, severity=0.6),
    Concept("liver_disease", Chronic(0.05, 0.01), "other",
            (Code("K7460", "5715", 0.70), Code("K766", "5723", 0.50), Code("I8500", "4561", 0.50)),
            (("Lactulose", 0.60), ("Spironolactone", 0.50)), (("Bilirubin, Total", 1.8),), risk=0.45, severity=0.5),
    Concept("tobacco", Chronic(0.15, 0.01), "mental",
            (Code("F17210", "3051", 0.75), Code("Z716", "V6549", 0.40), Code("J410", "4910", 0.35)),
            (("Nicotine Patch", 0.60),)),
    Concept("opioid", Chronic(0.05, 0.008), "mental",
            (Code("F1120", "30400", 0.75), Code("T402X1A", "96509", 0.45), Code("B182", "07054", 0.40)),
            (("Methadone", 0.55), ("Naloxone", 0.40)), risk=0.60),
    Concept("psychotic", Chronic(0.04, 0.004), "mental",
            (Code("F209", "29590", 0.65), Code("F259", "29570", 0.50), Code("G2401", "33385", 0.45)),
            (("OLANZapine", 0.50), ("Haloperidol", 0.45)), risk=0.50),
    Concept("personality", Chronic(0.03, 0.004), "mental",
            (Code("F603", "30183", 0.75), Code("Z638", "V6109", 0.45), Code("Z653", "V625", 0.40)),
            (("QUEtiapine Fumarate", 0.50), ("LamoTRIgine", 0.35)), risk=0.25),
    Concept("neurocognitive", Chronic(0.07, 0.02), "geriatric",
            (Code("F0390", "29420", 0.70), Code("G309", "3310", 0.50), Code("R4181", "797", 0.40)),
            (("Donepezil", 0.60), ("Memantine", 0.35)), severity=0.3),

    # ── episodic ──
    Concept("depressive", Episodic(0.20, 0.75), "mental",
            (Code("F329", "311", 0.55), Code("F339", "29630", 0.50), Code("Z602", "V603", 0.40)),
            (("Sertraline", 0.45), ("TraZODone", 0.40)), risk=0.25),
    Concept("anxiety", Episodic(0.11, 0.70), "mental",
            (Code("F419", "30000", 0.70), Code("F458", "3061", 0.40), Code("G43909", "34690", 0.40)),
            (("Lorazepam", 0.50), ("HydrOXYzine", 0.35)), companion=("depressive", 2.5)),
    Concept("alcohol", Episodic(0.09, 0.80), "mental",
            (Code("F1020", "30390", 0.65), Code("F10239", "29181", 0.45), Code("E519", "2651", 0.40)),
            (("Thiamine", 0.65), ("FoLIC Acid", 0.55)), (("Asparate Aminotransferase (AST)", 1.2),), risk=0.50),
    Concept("stimulant", Episodic(0.025, 0.70), "mental",
            (Code("F1410", "30560", 0.70), Code("T43621A", "96972", 0.50), Code("K029", "52100", 0.50)),
            (), companion=("opioid", 4.0)),
    Concept("trauma", Episodic(0.04, 0.80), "mental",
            (Code("F4310", "30981", 0.75), Code("F515", "30747", 0.50), Code("Z91410", "V1541", 0.45)),
            (("Prazosin", 0.55),)),
    Concept("pneumonia", Episodic(0.09, 0.30), "other",
            (Code("J189", "486", 0.70), Code("J9600", "51881", 0.50), Code("J690", "5070", 0.45)),
            (("Levofloxacin", 0.55), ("CefePIME", 0.45)), (("White Blood Cells", 1.0),), severity=0.5),
    Concept("sepsis", Episodic(0.40, 0.40), "other",
            (Code("A419", "0389", 0.75), Code("R6521", "99592", 0.50), Code("D65", "2866", 0.50)),
            (("NORepinephrine", 0.55), ("Vancomycin", 0.60)), (("Lactate", 2.0), ("White Blood Cells", 1.0)),
            parent="pneumonia", severity=1.0),
    Concept("urinary_infection", Episodic(0.09, 0.50), "geriatric",
            (Code("N390", "5990", 0.75), Code("B9620", "04149", 0.50), Code("N3090", "5959", 0.40)),
            (("CefTRIAXone", 0.55), ("Ciprofloxacin HCl", 0.40)), severity=0.1),
    Concept("anaemia", Episodic(0.07, 0.65), "other",  # correlated with the outcome, without effect on it
            (Code("D649", "2859", 0.70), Code("D509", "2809", 0.50), Code("E538", "2662", 0.35)),
            (("Ferrous Sulfate", 0.60),), (("Hemoglobin", -1.5),), companion=("heart_failure", 5.0)),
    Concept("electrolytes", Episodic(0.12, 0.45), "other",
            (Code("E871", "2761", 0.60), Code("E876", "2768", 0.50), Code("E8342", "2752", 0.45)),
            (("Potassium Chloride", 0.60), ("Magnesium Sulfate", 0.50)),
            (("Sodium", -1.2), ("Potassium", -1.0)), severity=0.2),
    Concept("chronic_pain", Episodic(0.12, 0.80), "other",
            (Code("G8929", "33829", 0.60), Code("M545", "7242", 0.55), Code("M79609", "7295", 0.45)),
            (("Gabapentin", 0.55), ("OxyCODONE (Immediate Release)", 0.55)), risk=0.25),
    # No label: only a pattern over the records that everybody has (see `UNLABELLED_PATTERN` in background.py).
    Concept("unlabelled", Episodic(0.15, 0.75), "other", risk=0.40, labelled=False,
            labs=(("Phosphate", 1.3), ("Platelet Count", 1.3), ("Calcium, Total", -1.3))),

    # ── driven: on after A without B ──
    Concept("kidney_injury", Driven("heart_failure", "kidney_disease"), "metabolic",
            (Code("N179", "5849", 0.75), Code("N19", "586", 0.50), Code("N059", "5839", 0.40)),
            (), (("Creatinine", 1.0), ("Potassium", 1.0)), risk=0.30, severity=0.4),
    Concept("self_harm", Driven("personality", "depressive"), "mental",
            (Code("R45851", "V6284", 0.65), Code("X838XXA", "E9589", 0.50), Code("T50902A", "9779", 0.50)),
            (("Acetylcysteine (IV)", 0.45),), severity=0.2),

    # ── drift: a level with a velocity ──
    Concept("functional_decline", Drift(1.3), "geriatric",
            (Code("R5381", "7993", 0.55), Code("R262", "7812", 0.50), Code("Z7409", "V4984", 0.45)),
            (("Vitamin D", 0.45),), (("Albumin", -0.6),), risk=0.30, severity=0.3),
    Concept("malnutrition", Drift(1.7), "cancer",
            (Code("E46", "2639", 0.65), Code("E43", "262", 0.50), Code("R634", "78321", 0.50)),
            (("Multivitamins W/minerals", 0.55),), (("Albumin", -1.5),), risk=0.40, severity=0.4),
    Concept("obesity", Drift(1.4), "metabolic",
            (Code("E669", "27800", 0.70), Code("Z6841", "V8541", 0.55), Code("G4733", "32723", 0.45))),

    # ── cyclic ──
    Concept("chemotherapy", Cyclic(0.7, 2), "cancer",
            (Code("Z5111", "V5811", 0.75), Code("D6181", "28411", 0.50), Code("Z9221", "V8741", 0.50)),
            (("Dexamethasone", 0.60), ("Filgrastim", 0.40)), (("Neutrophils", -1.5),), parent="malignancy"),
    Concept("bipolar", Cyclic(0.22, 4), "mental",
            (Code("F319", "29680", 0.70), Code("F3110", "29640", 0.50), Code("T56891A", "9858", 0.45)),
            (("Lithium Carbonate", 0.50), ("Divalproex (DELayed Release)", 0.40)), severity=0.1),

    # ── shock ──
    Concept("hip_fracture", Shock(0.07), "other",
            (Code("S72009A", "8208", 0.75), Code("W19XXXA", "E8889", 0.60), Code("Z96649", "V4364", 0.45)),
            (("Enoxaparin Sodium", 0.55),), procedures=(Code("0SR90JZ", "8151", 0.65),)),
    Concept("pulmonary_embolism", Shock(0.06), "other",
            (Code("I2699", "41519", 0.75), Code("I82409", "45340", 0.55), Code("D6859", "28981", 0.45)),
            (("Apixaban", 0.55),), (("D-Dimer", 2.0),)),
    Concept("road_injury", Shock(0.05), "other",
            (Code("S2249XA", "80709", 0.65), Code("S060X0A", "85011", 0.55), Code("V892XXA", "E8199", 0.65)),
            (("Tetanus-DiphTox-Acellular Pertuss (Adacel)", 0.50),)),
    Concept("renal_colic", Shock(0.04), "other",
            (Code("N200", "5920", 0.75), Code("N1330", "591", 0.55), Code("N23", "7880", 0.55)),
            (("Tamsulosin", 0.50), ("Ketorolac", 0.45))),
    Concept("appendicitis", Shock(0.025), "other",
            (Code("K3580", "5409", 0.75), Code("K651", "56722", 0.50), Code("R1031", "78903", 0.55)),
            (("MetRONIDAZOLE (FLagyl)", 0.50),), procedures=(Code("0DTJ4ZZ", "4701", 0.65),)),

    # ── long memory: the echo of a shock ──
    Concept("postthrombotic", LongMemory("pulmonary_embolism", 3), "other",
            (Code("I87009", "45910", 0.75), Code("L97919", "70719", 0.55), Code("I8390", "4549", 0.55)),
            (("Silver Sulfadiazine 1% Cream", 0.45),)),
    Concept("implant_failure", LongMemory("hip_fracture", 2), "other",
            (Code("T8484XA", "99678", 0.70), Code("M8668", "73018", 0.55), Code("M25559", "71945", 0.55)),
            (), procedures=(Code("0SP90JZ", "8005", 0.60),)),
)
# fmt: on

NAMES = tuple(concept.name for concept in CONCEPTS)
COLUMN = {name: c for c, name in enumerate(NAMES)}
# Correlated with readmission through heart failure, and without effect on it.
CONFOUNDER = "anaemia"


def kind(dynamics: Dynamics) -> str:
    """Name the dynamics as truth.json does: chronic, episodic, shock, driven, drift, cyclic or long_memory."""
    return "long_memory" if isinstance(dynamics, LongMemory) else type(dynamics).__name__.lower()
