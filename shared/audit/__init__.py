"""The audit: what a side sent, got, agreed to and refused, as a file of chained and signed lines that only grows.

``chain.py`` says what a line is, ``writer.py`` adds one, ``verify.py`` finds the first that does not fit, ``compare.py`` holds
two sides' audits against each other, ``left.py`` says what left an institution, ``export.py`` gives it to other programs, ``tail.py``
follows it for figures; ``fields.py`` reads what a signed line may or may not hold.
"""
