"""Chapter 14: methods on cohorts of known content, in noise, and beside other systems."""
