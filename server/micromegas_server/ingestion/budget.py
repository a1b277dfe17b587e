"""How many bytes of requests the server holds at a time."""

import threading
from types import TracebackType
from typing import Self

from micromegas_server.ingestion.errors import busy


class Budget:
    """A number of bytes that all requests share; safe to use from any thread.

    Args:
        size: The bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self._lock = threading.Lock()

    def add(self, size: int) -> None:
        """Take `size` bytes, or give them back where it is negative. Raises Refused (503) where none are left."""
        with self._lock:
            if size > self.left:
                raise busy()
            self.left -= size


class Share:
    """What one request has of a budget; a context manager that gives all of it back.

    Args:
        budget: The budget.
    """

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def grow(self, size: int) -> None:
        """Take `size` more bytes. Raises Refused (503) where none are left."""
        self._budget.add(size)
        self._size += size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.add(-self._size)
        self._size = 0
