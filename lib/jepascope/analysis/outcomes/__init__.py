"""Predictions of outcomes: scores, calibration, decisions, plain models, and what could be foreseen at all."""
