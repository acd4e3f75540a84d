"""The figures of prediction: what is drawn is what was given, also where something could not be computed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from jepascope.analysis.inference.stats import Inference
from jepascope.analysis.outcomes import calibration, decision
from jepascope.book.figures import prediction
from jepascope.book.figures.style import OBJECT

HOW = Inference(bootstrap=20, min_patients=2, min_carriers=2)


@pytest.fixture
def outcome():
    rng = np.random.default_rng(0)
    risk = rng.beta(1, 4, 300)
    return {"JEPA z": risk, "structure": np.full(300, 0.2)}, (rng.random(300) < risk).astype(float), np.arange(300)


def test_a_model_keeps_its_objects_colour_and_others_never_take_it():
    paint = prediction.colours(["structure", "JEPA z", "JEPA c", "untrained (z, c)", "xgboost", "structure"])
    assert (paint["JEPA z"], paint["JEPA c"]) == (OBJECT["z"], OBJECT["c"])
    assert paint["untrained (z, c)"] == OBJECT["untrained z"]
    assert len(set(paint.values())) == len(paint) == 5
    assert not set(prediction.OTHERS) & {OBJECT[name] for name in ("z", "c", "ẑ", "e", "untrained z")}


def test_calibration_and_decision_curves_are_drawn_for_a_constant_model_too(outcome):
    made, labels, patients = outcome
    rng = np.random.default_rng(0)
    curves = {name: calibration.calibration_curve(p, labels, patients, HOW, rng) for name, p in made.items()}
    curve, spread = prediction.calibration_curves(curves, made).axes
    assert curve.get_lines()[0].get_ydata() == pytest.approx(curves["JEPA z"]["observed"])
    assert len(curve.get_lines()[1].get_xdata()) == 1
    assert [patch.get_data().values.sum() for patch in spread.patches] == pytest.approx([1, 1])
    decisions = {name: decision.decision_curve(p, labels, patients, HOW, 0) for name, p in made.items()}
    benefit, advantage = prediction.decision_curves(decisions).axes
    assert [text.get_text() for text in benefit.get_legend().get_texts()] == [*made, "treat all"]
    assert advantage.get_lines()[0].get_ydata() == pytest.approx(decisions["JEPA z"]["advantage"])


def test_a_model_without_a_number_keeps_its_line_in_the_forest():
    rows = [(f"task {t}", model, 0.6 + t / 10, 0.5, 0.8) for t in range(4) for model in ("JEPA z", "xgboost")]
    table = pd.DataFrame(rows, columns=["task", "model", "value", "low", "high"]).drop(index=[1])
    axes = prediction.forest_by_task(table, "AUROC", 0.5).axes
    assert [panel.get_title(loc="left") for panel in axes[:4]] == [f"task {t}" for t in range(4)]
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["JEPA z", "xgboost"]
    assert np.isnan(axes[0].collections[-1].get_offsets()[:, 0].filled(np.nan)).tolist() == [False, True]
    assert not axes[4].axison


def test_label_efficiency_names_models_in_the_order_in_which_they_end():
    rows = [("low", 0.01, 0.6), ("low", 1.0, 0.65), ("high", 0.01, 0.5), ("high", 1.0, 0.8), ("never", 1.0, np.nan)]
    table = pd.DataFrame(rows, columns=["model", "share", "value"]).assign(low=0.4, high=0.9)
    (axes,) = prediction.label_efficiency(table, "AUROC", 0.5).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["high", "low"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1 %", "100 %"]
