"""Faults that are put in on purpose, as tables: damage of inputs, results and the machine, and values that are wrong.

Each case ends in the right number or in one clear line of bounded length; never in another number, a traceback or a
lost file. A row of a table is a fault that differs from the others in kind: what is read, and how it is damaged.
"""
