"""Chapter 5, z in features: sparse dictionaries, the vote on them, their cards, and what they recover."""
