"""What is worked out of arrays: patient-exact statistics, probes, dictionaries, geometry, parts of e. No files."""
