"""Chapters 8b and 13a: simulated futures, the error held against them, and trials of the blind-spot map."""
