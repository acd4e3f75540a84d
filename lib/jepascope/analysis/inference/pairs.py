"""Which pairs of seeds are compared, so that the cost grows with the seeds."""

from __future__ import annotations

# How many of the seeds that follow it each seed is compared with: all pairs of up to five seeds, and 2 S pairs of more.
SPAN = 2


def compared_pairs(S: int) -> list[tuple[int, int]]:
    """Which pairs (i, j), i < j in 0..S-1, of S seeds are compared: all would cost with the square of the seeds.

    Each seed and the `SPAN` that follow it in a ring, so that every seed is in as many pairs as any other, in order.
    Up to 2 · SPAN + 1 seeds these are all pairs, and above that SPAN · S. Seeds are drawn alike and their numbers mean
    nothing, so no choice made beforehand favours anything: a mean over these pairs aims at that over all (an incomplete
    U-statistic of balanced design, Blom 1976).
    """
    ring = {tuple(sorted((i, (i + step) % S))) for i in range(S) for step in range(1, SPAN + 1)}
    return [(i, j) for i, j in sorted(ring) if i < j]
