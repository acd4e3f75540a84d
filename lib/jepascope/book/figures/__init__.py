"""The book's figures: each function takes results and returns a matplotlib figure; none computes."""
