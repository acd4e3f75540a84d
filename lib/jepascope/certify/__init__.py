"""Certification: hold every method against a cohort whose truth is planted."""
