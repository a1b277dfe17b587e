"""What happens to callers while issuers break, keys change and threads race: measured, not argued.

The issuer that misbehaves is the one of the tests.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # `support`, where a run of the tests has not put it there
