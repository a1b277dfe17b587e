"""Fixtures for tests that cross the wire."""

from collections.abc import Callable
from pathlib import Path

import pytest
from support.micromegas_client import COMPLETE, MicromegasClient
from support.needs import needs


@pytest.fixture
def micromegas_client(tmp_path: Path) -> Callable[[str], MicromegasClient]:
    """Makes a micromegas user, with a fresh home folder, of the server at the given URI."""
    needs(COMPLETE, "the micromegas client")

    def at(uri: str) -> MicromegasClient:
        home = tmp_path / "home"
        home.mkdir()
        return MicromegasClient(home, uri)

    return at
