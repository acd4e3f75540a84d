"""Chapter 10: test patients rolled out, their steps and searches, and drift as published."""
