"""Chapter 4: every model of an outcome on the same rows: fitted, scored, and one of them examined."""
