"""Readers of a representation: linear probes, their rivals, control labels, AUROCs on shared draws of patients."""
