"""Differential privacy of a run: noise from secret bytes, what a round of it costs, and what is left to spend.

Pure functions and values: no I/O, no configuration. ``noise`` needs numpy and cryptography alone; ``accounting`` imports
its accountant where it is asked for an epsilon.
"""
