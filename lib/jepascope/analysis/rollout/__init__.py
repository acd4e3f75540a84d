"""Several encounters ahead: what is left of the truth in a rollout, and what the length of a step tells."""
