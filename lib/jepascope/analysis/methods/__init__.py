"""Methods where the answer is known: cohorts without structure, and what each method finds in them."""
