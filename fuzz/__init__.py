"""Attempts to fool the library: mutated tokens that are signed again, documents, headers, and a comparison with others.

The helpers of the tests make the keys and tokens, so their folder is put on the path, behind everything else.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parents[1] / "tests")
if _TESTS not in sys.path:
    sys.path.append(_TESTS)
