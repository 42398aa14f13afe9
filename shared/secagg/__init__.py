"""Secure aggregation: a coordinator learns the sum over a cohort and nothing else. Needs numpy and cryptography only."""
