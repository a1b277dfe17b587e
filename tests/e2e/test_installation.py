"""The tests run on what ships: the built wheel, not the checkout."""

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["micromegas_auth", "micromegas_server"])
def test_the_installed_wheel_is_tested(package: str) -> None:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    installed = Path(sysconfig.get_path("purelib"))
    assert Path(spec.origin).is_relative_to(installed), "run the tests with `python3 run.py test`"


@pytest.mark.parametrize("folder", ["server", "examples", "benchmarks"])
def test_no_other_folder_of_the_checkout_is_importable(folder: str) -> None:
    """Asked in a fresh interpreter, as tests of such a folder put it on the path of this one."""
    question = f"import importlib.util; print(importlib.util.find_spec({folder!r}))"
    done = subprocess.run([sys.executable, "-P", "-c", question], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n"
