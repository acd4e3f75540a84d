"""Chapter 7: ẑ held against z, its words, its relation to analyses of z alone, and the predictor's own bases."""
