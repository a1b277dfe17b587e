"""Which folders of a lake are tables."""

from pathlib import Path

import pytest
from micromegas_server.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def table(lake: Lake, name: str, file: str = "1.parquet") -> Path:
    path = lake.folder / name / file
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def test_a_lake_must_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "nosuch"):
        with pytest.raises(NotADirectoryError):
            Lake(path)


def test_tables_come_and_go(lake: Lake) -> None:
    assert lake.tables() == []
    path = table(lake, "b")
    table(lake, "a")
    assert lake.tables() == ["a", "b"]
    assert lake.has_table("b")
    path.unlink()
    assert lake.tables() == ["a"]
    assert not lake.has_table("b")


def test_what_is_no_table(lake: Lake) -> None:
    table(lake, ".hidden")
    table(lake, "other", "1.csv")
    table(lake, "line\nbreak")
    (lake.folder / "empty").mkdir()
    (lake.folder / "nested" / "deeper").mkdir(parents=True)
    (lake.folder / "nested" / "deeper" / "1.parquet").touch()
    (lake.folder / "1.parquet").touch()
    assert lake.tables() == []
    for name in (".hidden", "other", "line\nbreak", "empty", "nested", "nested/deeper", "1.parquet", "nosuch", ""):
        assert not lake.has_table(name), name


@pytest.mark.parametrize("name", ["..", ".", "../lake", "a/../a", "/", "a/", "a\0", "a/.", "\0", "x" * 300])
def test_a_name_never_leads_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "lake").mkdir()
    (tmp_path / "1.parquet").touch()
    lake = Lake(tmp_path / "lake")
    table(lake, "a")
    assert not lake.has_table(name)


def test_the_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a change of the working directory does not move it."""
    (tmp_path / "lake").mkdir()
    monkeypatch.chdir(tmp_path)
    lake = Lake(Path("lake"))
    table(lake, "a")
    monkeypatch.chdir("/")
    assert lake.tables() == ["a"]
