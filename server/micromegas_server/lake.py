"""Where telemetry lies: a folder in which each folder of Parquet files is a table."""

from pathlib import Path


class Lake:
    """The tables of a folder, as they are at the moment of asking.

    Args:
        folder: The lake.

    Raises:
        NotADirectoryError: `folder` is none.

    Attributes:
        folder: The lake, as an absolute path.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(str(folder))
        self.folder = folder.resolve()

    def tables(self) -> list[str]:
        """The names of all tables, sorted. A folder without a Parquet file is none yet."""
        return sorted(entry.name for entry in self.folder.iterdir() if _is_table(entry))

    def has_table(self, name: str) -> bool:
        """Whether there is a table of that name. A name never leads out of the lake."""
        return name != "" and "/" not in name and "\0" not in name and _is_table(self.folder / name)


def _is_table(folder: Path) -> bool:
    # A name that cannot be printed is not UTF-8, or holds what no object store takes.
    if folder.name.startswith(".") or not folder.name.isprintable():
        return False
    try:
        return folder.is_dir() and next(folder.glob("*.parquet"), None) is not None
    except OSError:  # a name that is too long
        return False
