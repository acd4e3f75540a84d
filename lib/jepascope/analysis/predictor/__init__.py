"""ẑ against z: skill, likeness, directions and words; the layer behind ẑ, and what moves when its input is moved."""
