"""Chapters 13 and 15: a model against the planted truth, and the certificates of methods."""
