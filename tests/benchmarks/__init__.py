"""Timings, run by hand: what they print belongs to the machine that they ran on."""
