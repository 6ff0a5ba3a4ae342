"""Compare the numbers of two checkouts: `python -m tests.golden BEFORE AFTER`."""
