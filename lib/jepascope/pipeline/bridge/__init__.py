"""Chapter 9: how far labels reach, tier by tier, and the same against the planted truth."""
