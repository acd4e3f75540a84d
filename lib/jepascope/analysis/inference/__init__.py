"""Patient-exact inference: draws, folds and permutations of patients; intervals, nulls, families of hypotheses."""
