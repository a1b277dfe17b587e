"""What a test needs and `run.py test` may have failed to get."""

import os
from pathlib import Path

import pytest


def needs(path: Path, what: str) -> None:
    """Go on if `path` exists. Otherwise the test fails in CI, and is skipped with a reason elsewhere."""
    if path.exists():
        return
    reason = f"NOT TESTED, {what} is missing: python3 run.py test installs it"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
