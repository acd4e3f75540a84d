"""Groups of encounters, and what is known of earlier events at k: by hand, and the leaks that it must not have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope import params
from jepascope.cohort.encounters import load
from jepascope.cohort.extract import extract
from jepascope.cohort.subgroups import had_event_before, settled_by_next_episode, settled_by_window, subgroups
from jepascope.cohort.synthetic import synthesize

DAY = np.timedelta64(1, "D")


def index_of(ends, patients=None, **columns):
    """Encounters of a few patients by the day on which each ends."""
    start = np.datetime64("2150-01-01T12:00:00", "s")
    frame = pd.DataFrame(
        {"subject_id": patients if patients is not None else 1, "dischtime": start + np.array(ends) * DAY}
    )
    frame["eligibility_30d"] = "eligible"
    return frame.assign(**columns)


def groups_of(**columns):
    rows = max(len(values) for values in columns.values())
    given = {"sex": "F", "age": 50.0, "k": 0, "follow_up_days": 900.0, "race": "WHITE", "insurance": "Other"}
    return subgroups(pd.DataFrame({**given, "icd_version": 10, **columns}, index=range(rows)), 30)


def test_bands_hold_their_lower_edge_and_nobody_is_in_two():
    found = groups_of(age=[39.9, 40, 64.9, 65, 79.9, 80, 101])
    assert found["age"].tolist() == ["under 40", "40 to 64", "40 to 64", "65 to 79", "65 to 79", *["80 and over"] * 2]
    found = groups_of(k=[0, 1, 2, 3, 6, 7])
    second, fourth = ["second, third"] * 2, ["fourth to seventh"] * 2
    assert found["encounter"].tolist() == ["first", *second, *fourth, "eighth or later"]
    found = groups_of(follow_up_days=[30, 394, 395, np.nan])
    spare = ["under a year to spare"] * 2
    assert found["follow-up"].tolist() == [*spare, "a year or more to spare", ""]


def test_race_is_as_recorded_without_its_detail():
    asked = ["WHITE - BRAZILIAN", "BLACK/CAPE VERDEAN", "HISPANIC OR LATINO", "HISPANIC/LATINO - CUBAN", "PORTUGUESE"]
    found = groups_of(race=[*asked, "UNABLE TO OBTAIN", "UNKNOWN", None])["race as recorded"]
    assert found.tolist() == ["WHITE", "BLACK", "HISPANIC", "HISPANIC", "PORTUGUESE", *["not recorded"] * 3]
    assert groups_of(insurance=["Medicare", None])["insurance"].tolist() == ["Medicare", ""]


def test_an_event_is_repeated_once_its_window_has_closed():
    index = index_of([0, 10, 30, 31, 100])
    labels = np.array([1, 0, np.nan, 1, 0])
    # On day 30 the event may still be hours away.
    before = had_event_before(index, labels, settled_by_window(index, 30))
    assert before.tolist() == [False, False, False, True, True]
    assert not had_event_before(index, np.where(labels == 1, 0, labels), settled_by_window(index, 30)).any()


def test_a_return_is_known_when_the_patient_leaves_again():
    index = index_of([0, 10, 12, 50], eligibility_30d=["eligible", "transfer", "eligible", "eligible"])
    labels = np.array([1, np.nan, 0, 0])
    # On day 10 she is moved, and the episode in which she came back goes on until day 12.
    before = had_event_before(index, labels, settled_by_next_episode(index, 90))
    assert before.tolist() == [False, False, True, True]
    assert settled_by_next_episode(index, 5)[0] == settled_by_window(index, 5)[0]


def test_what_follows_on_the_same_day_is_not_known_yet():
    index = index_of([0, 10, 10], eligibility_30d=["eligible", "transfer", "eligible"])
    index.loc[2, "dischtime"] += np.timedelta64(3, "h")
    before = had_event_before(index, np.array([1, np.nan, 0]), settled_by_next_episode(index, 90))
    assert before.tolist() == [False, False, True]


def test_patients_do_not_share_their_past():
    index = index_of([0, 100, 200, 300], patients=[1, 1, 2, 2])
    before = had_event_before(index, np.array([1, 1, 0, 0]), settled_by_window(index, 30))
    assert before.tolist() == [False, True, False, False]
    next_episode = settled_by_next_episode(index, 365)
    assert next_episode[1] == settled_by_window(index, 365)[1]


def test_a_stay_inside_another_ends_with_the_longer_one():
    index = index_of([60, 20, 100])
    before = had_event_before(index, np.array([1, 0, 0]), settled_by_window(index, 30))
    assert before.tolist() == [False, False, True]
    assert settled_by_window(index, 0)[1] == settled_by_window(index, 0)[0]


def test_an_encounter_does_not_know_its_own_answer():
    """Even if it is settled at that very moment, as when the next episode lies inside this one."""
    index = index_of([60, 20])
    settled = settled_by_next_episode(index, 90)
    assert had_event_before(index, np.array([1, 1]), settled).tolist() == [False, True]


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root, folder = tmp_path_factory.mktemp("subgroups"), tmp_path_factory.mktemp("extracted")
    synthesize(root / "cohort", params.Synthetic(patients=400))
    extract(folder, root / "cohort", params.Source(), params.Extraction(min_patients_per_token=2))
    return load(folder).index


@pytest.mark.parametrize(
    ("label", "settle", "horizon"),
    [
        ("label_30d_per_enc", settled_by_next_episode, 30),
        ("label_escalation_per_enc", settled_by_next_episode, 90),
        ("label_psych_crisis_per_enc", settled_by_window, 180),
        ("label_death_365d_per_enc", settled_by_window, 365),
    ],
)
def test_nothing_after_k_changes_what_is_known_at_k(planted, label, settle, horizon):
    labels = planted[label].to_numpy()
    whole = had_event_before(planted, labels, settle(planted, horizon))
    # Cut every record after a moment of its own: what is known at k must be the same without what follows.
    rng = np.random.default_rng(0)
    moment = planted.groupby("subject_id")["k"].transform(lambda k: rng.integers(0, len(k)))
    kept = (planted["k"] <= moment).to_numpy()
    cut = planted[kept].reset_index(drop=True)
    alone = had_event_before(cut, labels[kept], settle(cut, horizon))
    np.testing.assert_array_equal(alone, whole[kept])
    # Nor may a label at k whose answer comes after the record is cut.
    open_then = np.where(settle(cut, horizon) > np.repeat(*_last_days(cut)), np.nan, labels[kept])
    np.testing.assert_array_equal(had_event_before(cut, open_then, settle(cut, horizon)), alone)


def _last_days(index):
    days = index.groupby("subject_id")["dischtime"].max().to_numpy("datetime64[s]")
    return days, index.groupby("subject_id").size().to_numpy()


def test_a_repeat_is_an_event_seen_by_then_and_no_death_is_repeated(planted):
    labels = planted["label_30d_per_enc"].to_numpy()
    found = had_event_before(planted, labels, settled_by_next_episode(planted, 30))
    end = planted.groupby("subject_id")["dischtime"].cummax().dt.normalize()
    back = end + pd.to_timedelta(planted["days_to_next"], unit="D")  # the day of the return, as the labels know it
    patients = planted["subject_id"].to_numpy()
    seen = np.array(
        [any((patients[:k] == patients[k]) & (labels[:k] == 1) & (back[:k] <= end[k])) for k in range(len(planted))]
    )
    # Within the episode of the return, the return is seen before the episode is over.
    inside = planted["eligibility_30d"].to_numpy() == "transfer"
    np.testing.assert_array_equal(found[~inside], seen[~inside])
    assert found[inside].sum() <= seen[inside].sum()
    assert seen.sum() > 50
    deaths = planted["label_death_365d_per_enc"].to_numpy()
    assert not had_event_before(planted, deaths, settled_by_window(planted, 365)).any()
