"""How many bytes of requests the server holds at a time."""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from micromegas_server.ingestion.errors import busy
from micromegas_server.ingestion.rows import Sender

SENDERS = 3  # each may hold such a part of the budget in bodies that arrive or wait


class Budget:
    """A number of bytes that all requests share; safe to use from any thread.

    Args:
        size: The bytes.
    """

    def __init__(self, size: int) -> None:
        self.left = size
        self._each = size // SENDERS
        self._waiting: Counter[Sender] = Counter()
        self._lock = threading.Lock()

    def add(self, size: int, waiting_of: Sender | None = None) -> None:
        """Take `size` bytes, or give them back where it is negative.

        Args:
            size: The bytes.
            waiting_of: Whose they are while they wait; None for those of a request that is being taken apart.

        Raises:
            Refused: None are left, or the sender has its part (503).
        """
        with self._lock:
            if size > self.left or (waiting_of and self._waiting[waiting_of] + size > self._each):
                raise busy()
            self.left -= size
            if waiting_of:
                self._wait(waiting_of, size)

    def begin(self, sender: Sender, size: int) -> None:
        """`size` bytes of `sender` wait no longer."""
        with self._lock:
            self._wait(sender, -size)

    def _wait(self, sender: Sender, size: int) -> None:
        self._waiting[sender] += size
        if not self._waiting[sender]:
            del self._waiting[sender]


class Share:
    """What one request has of a budget; a context manager that gives all of it back.

    Args:
        budget: The budget.
        sender: Whose request it is.
    """

    def __init__(self, budget: Budget, sender: Sender) -> None:
        self._budget = budget
        self._sender = sender
        self._waiting: Sender | None = sender
        self._size = 0

    def grow(self, size: int) -> None:
        """Take `size` more bytes. Raises Refused (503) where none are left."""
        self._budget.add(size, self._waiting)
        self._size += size

    def begin(self) -> None:
        """It is being taken apart: few are at a time, and one may need more than a sender's part."""
        self._budget.begin(self._sender, self._size)
        self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._budget.add(-self._size, self._waiting)
        self._size = 0
