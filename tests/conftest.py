"""Lets tests import what several of them share from ``tests.support``, and makes hypothesis the same everywhere.

No deadline: a slow machine is no error. The same examples in every run: a failure can be seen again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent.parent))
settings.register_profile("fedstill", deadline=None, derandomize=True, database=None)
settings.load_profile("fedstill")
