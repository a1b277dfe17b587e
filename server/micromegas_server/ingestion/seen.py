"""What has been written lately, so that it is written once however often it is sent."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Seen(Generic[T]):
    """Remembers what came of the keys used last; safe to use from any thread.

    A key stands for something that is being written or has been. When the same comes again, as it does when an answer
    got lost and the client tries once more, it gets the outcome of the first.

    Args:
        size: How many keys are remembered.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[T] | tuple[T]] = OrderedDict()  # a tuple is smaller than a Future

    def know(self, key: Hashable, outcome: T) -> None:
        """Remember what came of a key before."""
        with self._lock:
            self._known[key] = (outcome,)
            if len(self._known) > self._size:
                self._known.popitem(last=False)

    def claim(self, key: Hashable) -> tuple["Future[T]", bool]:
        """The outcome of `key`, and whether it is the caller's to bring about.

        Who is told True must complete the future. An exception is told to all who wait for it, and then forgotten.
        """
        with self._lock:
            known = self._known.get(key)
            if isinstance(known, Future) and known.done() and known.exception():
                known = None  # it is about to be forgotten
            if known is not None:
                self._known.move_to_end(key)
            else:
                mine: Future[T] = Future()
                self._known[key] = mine
                if len(self._known) > self._size:
                    self._known.popitem(last=False)
        if known is None:
            mine.add_done_callback(lambda done: self._settle(key, done))
            return mine, True
        if isinstance(known, tuple):
            settled: Future[T] = Future()
            settled.set_result(known[0])
            return settled, False
        return known, False

    def _settle(self, key: Hashable, done: "Future[T]") -> None:
        with self._lock:
            if self._known.get(key) is not done:
                return  # so many others came meanwhile that it has been forgotten
            if done.exception() is None:
                self._known[key] = (done.result(),)
            else:
                del self._known[key]
