"""What the ``fedstill knowledge`` commands do: graphs built from files, looked at, and embedded."""
