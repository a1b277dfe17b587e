"""kill -9 at any moment, while rows are submitted and files merged: what was acknowledged is there, once and whole."""

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
from micromegas_server.lake import Lake
from micromegas_server.lake_files import LakeFiles


def counts(folder: Path, table: str) -> Counter[int]:
    path = folder / Lake(folder).snapshot(table).path
    return Counter(number for file in path.glob("*.parquet") for number in pq.read_table(file)["id"].to_pylist())


def killed_after(folder: Path, first: int, acknowledged: int) -> list[int]:
    """Run the child until it has acknowledged so many; the numbers of all that it acknowledged."""
    command = [sys.executable, str(Path(__file__).with_name("lake_child.py")), str(folder), "4", str(first), "1000000"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        numbers = [int(child.stdout.readline()) for _ in range(acknowledged)]
        child.kill()
        rest = child.stdout.read().decode().split("\n")[:-1]
        return numbers + [int(line) for line in rest]


def test_kill_9(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    generator = random.Random(4)  # noqa: S311 - no secret
    versions: set[Path] = set()
    for turn in range(6):
        acknowledged |= set(killed_after(tmp_path, turn * 1_000_000, generator.randrange(1, 600)))
        LakeFiles(tmp_path).close()
        once, twice = counts(tmp_path, "a"), counts(tmp_path, "b")
        assert acknowledged <= set(once)
        assert set(once.values()) == {1}
        assert twice == Counter(dict.fromkeys(once, 2))
        versions.add((tmp_path / "a").readlink())
        assert [path.name for path in tmp_path.iterdir() if path.name not in ("a", "b")] == [".lake"]
        assert [*(tmp_path / ".lake/commits").iterdir()] == []
    assert len(versions) > 1  # files have been merged
