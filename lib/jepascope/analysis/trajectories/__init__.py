"""Records as paths through a space: steps, turns, drift, and whether the shape of a path predicts."""
