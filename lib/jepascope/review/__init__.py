"""A review round: comments under each page, a run kept as it was, and what has moved since."""
