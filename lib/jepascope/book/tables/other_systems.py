"""Tables of the field's methods beside each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jepascope.analysis.inference.stats import Estimate
from jepascope.book.claims import interval

NOT_ASKED = "—"


def frame_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row a method, best recovery first. frame: of `other_systems.frame`."""
    return pd.DataFrame(
        {
            "method": frame["words"],
            "looks at": frame["looks_at"],
            "features": frame["features"].map("{:.0f}".format),
            "mean r": [_spelled(row, ("r", "low", "high")) for row in frame.to_dict("records")],
            "untrained twin": _numbers(frame["twin"]),
            "states moved, 97.5 %": _numbers(frame["null_high"]),
            "MCC": _numbers(frame["mcc"]),
            "recall": _numbers(frame["recall"]),
            "names right": [_spelled(row, ("right", "right_low", "right_high")) for row in frame.to_dict("records")],
            "names dealt anew": _numbers(frame["dealt"]),
            "sure, and wrong": _numbers(frame["wrong"]),
            "returns": _numbers(frame["returns"]),
            "returns in noise": _numbers(frame["in_noise"]),
            "times the vote's cost": _numbers(frame["cost"]),
        }
    )


def replaced_table(replaced: pd.DataFrame) -> pd.DataFrame:
    """A row a stand-in for the predictor's MLP: what of ẑ it leaves unexplained."""
    left = [_spelled(row, ("value", "low", "high")) for row in replaced.to_dict("records")]
    return pd.DataFrame({"stand-in": replaced["stand-in"], "unexplained share of ẑ": left})


def axes_table(described: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """A row a basis: how many axes there are, act, and how many pairs of axis and output interact."""
    return pd.DataFrame(
        [
            {
                "basis": name,
                "axes": f"{found['axes']:.0f}",
                "axes that act (effective number)": f"{found['acting']:.1f}",
                "interactions (effective number)": f"{found['edges']:.0f} of {found['of_pairs']:.0f}",
            }
            for name, found in described.items()
        ]
    )


def ratio_rows(ratios: pd.DataFrame) -> pd.DataFrame:
    """A row a length: mean with an onset over mean without, as published and matched, and with others' onsets."""
    rows = ratios.to_dict("records")
    return pd.DataFrame(
        {
            "length of a step": ratios["length"],
            "ratio, as it is": [_spelled(row, ("plain_value", "plain_low", "plain_high")) for row in rows],
            "matched on gap and record length": [_spelled(row, ("value", "low", "high")) for row in rows],
            "onsets of another patient": [_spelled(row, ("null", "null_low", "null_high")) for row in rows],
            "p": ratios["p"].map("{:.3f}".format),
        }
    )


def drift_rows(drift: pd.DataFrame) -> pd.DataFrame:
    """A row a set of predictions: drift in per cent on the same targets at every horizon, and on changing ones."""
    rows = drift.to_dict("records")
    return pd.DataFrame(
        {
            "predictions": drift["predictions"],
            "horizon": drift["horizon"],
            "same targets, %": [_spelled(row, ("same_value", "same_low", "same_high")) for row in rows],
            "targets change with it, %": [
                _spelled(row, ("changing_value", "changing_low", "changing_high")) for row in rows
            ],
        }
    )


def _spelled(row: Mapping[Any, Any], columns: tuple[str, str, str]) -> str:
    value, low, high = (float(row[column]) for column in columns)
    return NOT_ASKED if np.isnan(value) else interval(Estimate(value, low, high, 0, 0))


def _numbers(values: pd.Series) -> list[str]:
    return [NOT_ASKED if np.isnan(value) else f"{value:.2f}" for value in values.astype(float)]
