"""From records to encounters: MIMIC-IV, MEDS or the planted cohort, read at k without what comes after it."""
