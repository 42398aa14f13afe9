"""``python -m fedstill`` is the ``fedstill`` command."""

from fedstill.entry import main

if __name__ == "__main__":
    main()
