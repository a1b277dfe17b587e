"""Where telemetry lies: a folder in which each folder of Parquet files is a table."""

from pathlib import Path


class Lake:
    """The tables of a folder, as they are at the moment of asking.

    Args:
        folder: The lake.

    Raises:
        NotADirectoryError: `folder` is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(str(folder))
        self._folder = folder.resolve()

    def tables(self) -> list[str]:
        """The names of all tables, sorted. A folder without a Parquet file is none yet."""
        return sorted(entry.name for entry in self._folder.iterdir() if _is_table(entry))

    def location(self, table: str) -> Path | None:
        """The folder of a table, None where there is no such table. A name never leads out of the lake."""
        if "/" in table or "\0" in table or table.startswith("."):
            return None
        folder = self._folder / table
        return folder if _is_table(folder) else None


def _is_table(folder: Path) -> bool:
    if folder.name.startswith(".") or not folder.is_dir():
        return False
    return next(folder.glob("*.parquet"), None) is not None
