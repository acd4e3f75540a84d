"""The publish gate: what a book computed on credentialed records may carry out, and what it may not."""
