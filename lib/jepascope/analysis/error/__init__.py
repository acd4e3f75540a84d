"""e = z − ẑ, taken apart: its parts, directions and language, its blind spots, and whom it gives away."""
