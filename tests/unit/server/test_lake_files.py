"""The files of a lake: in whatever order they are committed, merged and read, the rows are those committed."""

import itertools
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from micromegas_server import lake_parquet
from micromegas_server.lake import Lake, Snapshot
from micromegas_server.lake_compaction import CLASSES, FAN_IN, _choose, compact
from micromegas_server.lake_files import LakeFiles, LakeInUse

few_are_enough = patch("micromegas_server.lake_compaction.FAN_IN", 2)


def rows(*values: int) -> pa.Table:
    return pa.table({"id": pa.array(values, pa.int64())})


def read(folder: Path, snapshot: Snapshot) -> list[int]:
    files = (folder / snapshot.path).glob("*.parquet")
    return sorted(itertools.chain.from_iterable(pq.read_table(file)["id"].to_pylist() for file in files))


def versions(folder: Path, table: str = "t") -> int:
    return len(list((folder / ".lake/versions" / table).iterdir()))


@given(
    st.lists(
        st.one_of(
            st.dictionaries(st.sampled_from("tuv"), st.lists(st.integers(0, 99), min_size=1, max_size=5), min_size=1),
            st.sampled_from(["merge", "look", "restart"]),
        ),
        max_size=12,
    )
)
def test_any_order(tmp_path_factory: pytest.TempPathFactory, actions: list[dict[str, list[int]] | str]) -> None:
    """Who looked sees, to the end, just what was there then."""
    folder = tmp_path_factory.mktemp("lake")
    files = LakeFiles(folder)
    expected: dict[str, list[int]] = {}
    seen: list[tuple[Snapshot, list[int]]] = []
    for action in actions:
        if isinstance(action, dict):
            files.commit({table: rows(*values) for table, values in action.items()})
            for table, values in action.items():
                expected[table] = sorted(expected.get(table, []) + values)
        elif action == "merge":
            with few_are_enough:
                for table in files.tables():
                    compact(files, table)
        elif action == "look":
            seen += [(Lake(folder).snapshot(table), values) for table, values in expected.items()]
        else:
            files.close()
            files = LakeFiles(folder)
        lake = Lake(folder)
        assert lake.tables() == sorted(expected)
        assert {table: read(folder, lake.snapshot(table)) for table in expected} == expected
    for snapshot, values in seen:  # later commits may be in the same version
        found = read(folder, snapshot)
        assert all(found.count(value) >= values.count(value) for value in values)
    files.close()


def test_who_reads_keeps_the_files(tmp_path: Path) -> None:
    files = LakeFiles(tmp_path)
    for value in range(FAN_IN):
        files.commit({"t": rows(value)})
    snapshot = Lake(tmp_path).snapshot("t")
    assert compact(files, "t")
    assert not compact(files, "t")
    assert versions(tmp_path) == 2
    files.commit({"t": rows(99)})
    assert read(tmp_path, snapshot) == list(range(FAN_IN))
    assert read(tmp_path, Lake(tmp_path).snapshot("t")) == [*range(FAN_IN), 99]
    files.vacuum("t")
    assert versions(tmp_path) == 2
    del snapshot
    files.vacuum("t")
    assert versions(tmp_path) == 1
    files.close()


def test_one_writer(tmp_path: Path) -> None:
    files = LakeFiles(tmp_path)
    with pytest.raises(LakeInUse, match="another process writes"):
        LakeFiles(tmp_path)
    files.close()
    LakeFiles(tmp_path).close()


def test_a_lost_link_is_made_again(tmp_path: Path) -> None:
    """A copy of a lake may come without its links; the rows are not thrown away."""
    files = LakeFiles(tmp_path)
    files.commit({"t": rows(1)})
    files.close()
    (tmp_path / "t").unlink()
    files = LakeFiles(tmp_path)
    assert read(tmp_path, Lake(tmp_path).snapshot("t")) == [1]
    files.close()


def test_a_folder_of_somebody_else(tmp_path: Path) -> None:
    """It is read, never written, merged or removed."""
    (tmp_path / "t").mkdir()
    pq.write_table(rows(1), tmp_path / "t" / "1.parquet")
    files = LakeFiles(tmp_path)
    with pytest.raises(ValueError, match="table 't' is a folder that was not made by this writer"):
        files.schema("t")
    assert files.tables() == []
    assert read(tmp_path, Lake(tmp_path).snapshot("t")) == [1]
    files.close()


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "t").symlink_to(".lake/versions/t/1")
    with pytest.raises(FileNotFoundError):
        Lake(tmp_path).snapshot("t")
    assert Lake(tmp_path).tables() == []


def test_a_link_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "lake" / "t").symlink_to("../elsewhere")
    pq.write_table(rows(1), tmp_path / "elsewhere" / "1.parquet")
    assert Lake(tmp_path / "lake").snapshot("t").path == "t"


def test_files_of_a_size_are_merged(tmp_path: Path) -> None:
    """Those of the smallest class that has enough; never more than should be in one file; never the largest."""

    def paths(*sizes: int) -> list[Path]:
        made = [tmp_path / f"{index}.parquet" for index in range(len(sizes))]
        for path, size in zip(made, sizes, strict=True):
            with path.open("wb") as file:
                file.truncate(size)
        return made

    small, middle, large = CLASSES
    assert _choose(paths(*[1] * (FAN_IN - 1), *[small] * (FAN_IN - 1), *[large] * 100)) == []
    made = paths(*[small] * FAN_IN, *[1] * FAN_IN)
    assert _choose(made) == made[FAN_IN:]
    made = paths(*[large - 1] * FAN_IN)
    assert _choose(made) == made[:2]
    made = paths(*[middle] * FAN_IN * 2)
    assert _choose(made) == made[: large // middle]


def test_row_groups_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In bytes, and so is what a merge holds in memory."""
    monkeypatch.setattr(lake_parquet, "ROW_GROUP_BYTES", 10_000)
    sources = [tmp_path / f"{index}.parquet" for index in range(4)]
    for index, source in enumerate(sources):
        lake_parquet.write(source, pa.table({"text": [f"{index}{row:999}" for row in range(12)]}))
    target = tmp_path / "target.parquet"
    lake_parquet.merge(sources, target, lambda: False)
    metadata = pq.read_metadata(target)
    assert metadata.num_rows == 48
    groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert max(groups) <= 10
    assert len(groups) < 10
    assert pq.read_table(target) == pa.concat_tables([pq.read_table(source) for source in sources])


def test_a_merge_can_be_stopped(tmp_path: Path) -> None:
    files = LakeFiles(tmp_path)
    for value in range(FAN_IN):
        files.commit({"t": rows(value)})
    with pytest.raises(lake_parquet.Stopped):
        compact(files, "t", lambda: True)
    assert len(files.files("t")) == FAN_IN
    assert list((tmp_path / ".lake/staging").iterdir()) == []
    files.close()
