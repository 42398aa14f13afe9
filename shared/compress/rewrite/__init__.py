"""Rewrites of a student into one that a device runs faster, near the old one and to be healed. Nothing is imported here."""
