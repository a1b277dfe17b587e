"""Fixtures for tests of servers in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from micromegas_server.flight_sql.engine import Engine
from micromegas_server.lake import Lake
from support.flight_server import FlightServer


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the lake that `engine` reads; each test begins with an empty one."""
    return tmp_path_factory.mktemp("lake")


@pytest.fixture(scope="session")
def engine(lake: Path) -> Engine:
    """One for the process, as in the server itself."""
    return Engine(Lake(lake))


@pytest.fixture
def server(lake: Path, engine: Engine) -> Iterator[FlightServer]:
    """The Flight SQL server over an empty lake."""
    with FlightServer(lake, engine) as server:
        yield server
