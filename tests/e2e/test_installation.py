"""The tests run on what ships: the built wheel, not the checkout."""

import importlib.util
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
    assert importlib.util.find_spec(folder) is None
