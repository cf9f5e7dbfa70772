"""Tests on Ray: `make ray` runs them, in an environment that has it.

In another environment those of data sets are not there. Those of what is deployed are collected all the same, as they
leave records behind docs/reference/targets.md, and are left out as slow.
"""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("ray") else ["test_dataset*.py"]
