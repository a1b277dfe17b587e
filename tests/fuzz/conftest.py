"""Makes the package `fuzz` importable: behind everything else, so that what is tested stays the installed wheel."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
