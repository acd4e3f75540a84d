"""Chapters 8 and 2b: the error's parts, concepts, features, spectra and outcomes, and whom it gives away."""
