"""What docs/client.md says is run here, word for word."""

import re
from pathlib import Path
from typing import Any

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
TABLE = re.findall(r"^\| `(MICROMEGAS_\w+)` \|", TEXT, re.MULTILINE)


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What each Python block leaves behind, in an environment where all that the table names is set."""
    for name in TABLE:
        monkeypatch.setenv(name, "https://login.example.com/x" if name.endswith(("ENDPOINT", "ISSUER")) else "text")
    names: list[dict[str, Any]] = []
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE):
        names.append({})
        exec(block, names[-1])  # noqa: S102 - our own document
    return names


def test_every_example_runs(blocks: list[dict[str, Any]]) -> None:
    first, httpx_client, exporter = blocks
    assert first["credentials"]._form["audience"] == "micromegas-api"
    httpx_client["client"].close()
    exporter["exporter"].shutdown()
