"""Measurements behind every claim in the README. Each prints a table and, with ``--json FILE``, writes the same for programs."""
