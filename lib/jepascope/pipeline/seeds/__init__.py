"""Chapter 12: features, blind spots and likeness of two seeds."""
