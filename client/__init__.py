"""The institution's service: it distils on its own records and answers with masked vectors."""
