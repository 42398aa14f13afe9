"""The coordinator's service: it asks institutions for masked contributions and only ever sees their sum."""
