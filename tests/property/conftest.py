"""What property tests share: strategies for cells and rows of a schema, and packed models to ask."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "models")]
