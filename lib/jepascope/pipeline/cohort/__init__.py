"""Records in, encounters out: where the records are, the extraction, its summary, and exchange by MEDS."""
