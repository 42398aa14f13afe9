"""Structured pruning: what parts are worth, which ones a smaller student keeps, and that student. Nothing is imported here."""
