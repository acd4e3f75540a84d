"""Nothing at k may read what comes after k, on records that hypothesis makes up and shrinks."""

from __future__ import annotations

from datetime import datetime
from random import Random

import numpy as np
import pandas as pd
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from mimic_tree import Tables, add_lab, add_patient, add_stay, at, cut_at, empty, extracted, token_names

from jepascope.cohort import labels
from jepascope.cohort.questions import LABELS

COMPARED: dict[str, int] = {}  # label -> known labels held against those of the cut record, over all examples
DAY = st.sampled_from([-1.0, 0.2, 0.9, 1.1, 2.0, 29.9, 30.0, 31.0, 89.0, 181.0, 366.0])
CODES = st.sampled_from(
    [("I10", 10), ("F329", 10), ("F10129", 10), ("T391X2A", 10), ("F0390", 10), ("29620", 9), ("4019", 9), ("E9500", 9)]
)
STAY = st.fixed_dictionaries(
    {
        "gap": DAY,
        "length": st.sampled_from([-0.5, 0.3, 1.0, 8.0, 40.0]),
        "kind": st.sampled_from(["EW EMER.", "ELECTIVE", "EU OBSERVATION", "URGENT"]),
        "place": st.sampled_from(["HOME", "HOSPICE", "DIED", "AGAINST ADVICE", ""]),
        "codes": st.lists(CODES, max_size=3, unique=True),
        "icu": st.sampled_from([None, 0.1, 1.5]),
        "psych": st.booleans(),
        "labs": st.lists(st.tuples(st.floats(-0.2, 1.3), st.sampled_from([0.0, 0.5, 3.0]), st.booleans()), max_size=3),
        "drug": st.none() | st.floats(0, 1.4),
    }
)
LIFE = st.tuples(st.lists(STAY, min_size=1, max_size=5), st.none() | DAY, st.integers(15, 92))


def write_life(tables: Tables, subject_id: int, stays: list[dict], death_after: float | None, age: int) -> None:
    """Write one patient's stays one after the other, with what was ordered, measured and coded in each."""
    end = 100.0 * subject_id
    for number, stay in enumerate(stays):
        hadm_id = 1000 * subject_id + number
        start = max(0.0, end + stay["gap"])
        length = stay["length"]
        died = stay["place"] == "DIED"
        icu = None if stay["icu"] is None else start + abs(length) * stay["icu"]
        add_stay(
            tables, subject_id, hadm_id, start, start + length, codes=stay["codes"], icu=icu,
            admission_type=stay["kind"], discharge_location=stay["place"], hospital_expire_flag=int(died),
            deathtime=at(start + length) if died else "",
        )  # fmt: skip
        key = {"subject_id": subject_id, "hadm_id": hadm_id}
        if stay["psych"]:
            tables["hosp/services"].append({**key, "transfertime": at(start), "curr_service": "PSYCH"})
        for when, delay, named in stay["labs"]:
            drawn = start + abs(length) * when
            add_lab(tables, subject_id, hadm_id if named else None, 50912, drawn, when, storetime=at(drawn + delay))
        if stay["drug"] is not None:
            started = at(start + abs(length) * stay["drug"])
            tables["hosp/prescriptions"].append({**key, "starttime": started, "drug_type": "MAIN", "drug": "Lithium"})
        end = max(end, start + length)
    # Long after the others, so that a cut here has the whole window of their labels behind it.
    for number in (8, 9):
        end += 400
        add_stay(tables, subject_id, 1000 * subject_id + number, end, end + 2)
    dod = "" if death_after is None else at(max(0.0, end + death_after)).date()
    add_patient(tables, subject_id, anchor_age=age, dod=dod)


def known_at(tables: Tables, subject_id: int, hadm_id: int) -> datetime:
    """The end of the stay, or of a longer one that it began in."""
    mine = [s for s in tables["hosp/admissions"] if s["subject_id"] == subject_id]
    stay = next(s for s in mine if s["hadm_id"] == hadm_id)
    return max(s["dischtime"] for s in mine if s["admittime"] <= stay["admittime"] and s["dischtime"] > s["admittime"])


class Last(Random):
    """Cuts each record at its last stay."""

    def choice(self, seq):
        return seq[-1]


# A plain record, cut 400 days after its last but one stay: every label's window lies behind the cut.
PLAIN = {"gap": 31.0, "length": 8.0, "kind": "EW EMER.", "place": "HOME", "codes": [("F329", 10)], "icu": 0.1,
         "psych": True, "labs": [(0.5, 0.5, True)], "drug": 0.5}  # fmt: skip


# Two extractions an example: enough to make up, too slow to shrink.
@settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
@given(st.lists(LIFE, min_size=1, max_size=8), st.randoms(use_true_random=False))
@example([([PLAIN] * 3, None, 50)] * 2, Last())
def test_membership_tokens_and_past_labels_do_not_change_when_the_record_is_cut_at_k(lives, random):
    tables = empty()
    # Somebody whose stay every rule accepts, so that the cohort is never empty.
    add_patient(tables, 99, dod="")
    add_stay(tables, 99, 99_000, 0, 3)
    for number, (stays, death_after, age) in enumerate(lives):
        write_life(tables, number + 1, stays, death_after, age)
    whole, fitted = extracted(tables)
    last = {s: random.choice(list(rows)) for s, rows in whole.index.groupby("subject_id")["hadm_id"]}
    moments = {s: (hadm_id, known_at(tables, s, hadm_id)) for s, hadm_id in last.items()}
    known = {name: [row for row in rows if row["subject_id"] in moments] for name, rows in tables.items()}
    cut, _ = extracted(cut_at(known, moments), fitted=fitted)

    final = whole.index["subject_id"].map(
        whole.index.set_index("hadm_id")["k"][list(last.values())].set_axis(list(last))
    )
    kept = whole.index[whole.index["k"] <= final].reset_index(drop=True)
    future = [*LABELS, *labels.SEEN, "eligibility_30d", "outcome_30d"]
    pd.testing.assert_frame_equal(cut.index.drop(columns=future), kept.drop(columns=future))
    for hadm_id in kept["hadm_id"]:
        assert token_names(cut, hadm_id) == token_names(whole, hadm_id)
    check_past_labels(cut.index, kept, moments)


def check_past_labels(cut: pd.DataFrame, kept: pd.DataFrame, moments: dict[int, tuple[int, datetime]]) -> None:
    """A label whose window ends before the cut is the same: it reads nothing beyond (t, t + H]."""
    horizons = {
        "label_30d_per_enc": 30, "label_30d_or_death_per_enc": 30, "label_escalation_per_enc": 90,
        "label_escalation_30d_per_enc": 30, "label_escalation_180d_per_enc": 180, "label_psych_crisis_per_enc": 180,
        "label_psych_crisis_28d_per_enc": 28, "label_death_30d_per_enc": 30, "label_death_365d_per_enc": 365,
        "label_long_stay_per_enc": 373,
    }  # fmt: skip
    assert set(horizons) == set(LABELS)
    ends = kept["subject_id"].map({s: moment for s, (_, moment) in moments.items()})
    for label, horizon in horizons.items():
        past = (kept["dischtime"] + pd.Timedelta(days=horizon + 1) < ends).to_numpy()
        np.testing.assert_array_equal(cut.loc[past, label], kept.loc[past, label])
        COMPARED[label] = COMPARED.get(label, 0) + int(kept.loc[past, label].notna().sum())


def test_no_label_was_left_uncompared():
    assert set(COMPARED) == set(LABELS)
    assert min(COMPARED.values()) > 0
