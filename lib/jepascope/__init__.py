"""Train JEPAs on hospital encounters, then open z, c, ẑ and e."""

__version__ = "0.1.0"
