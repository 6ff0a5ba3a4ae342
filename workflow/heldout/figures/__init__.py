"""Figures, one file each: a pure function of an `Axes` and a table that is also on disk."""
