"""Two pieces of work timed in turn, so that a machine whose speed drifts slows both and the ratio holds."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 0.001  # short, so that most windows see nothing of what else the machine does
GROUPS, WINDOWS = 12, 30
MAX_SPREAD = 0.10  # of the ratio: a wider run says more about the machine than about the code


@dataclass(frozen=True)
class Result:
    """One row.

    Attributes:
        name: What was measured, and against what.
        ratio: Median of the ratios of neighbouring best windows.
        spread: Half the distance of their quartiles, as a share of the ratio.
        subject_us: Microseconds of one call of the subject, in its best window of all.
        base_us: The same of the base.
    """

    name: str
    ratio: float
    spread: float
    subject_us: float
    base_us: float

    @property
    def is_noisy(self) -> bool:
        """Whether the figure must not be quoted."""
        return self.spread > MAX_SPREAD


def compare(name: str, subject: Callable[[], object], base: Callable[[], object]) -> Result:
    """Time `subject` against `base`, window by window in turn.

    Of each group of neighbouring windows the best of either is taken, so that a disturbance of a moment is left out;
    the ratio is the median of the groups'.
    """
    repeats = (_repeats(subject), _repeats(base))
    pairs = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(GROUPS):
            windows = [(_window(subject, repeats[0]), _window(base, repeats[1])) for _ in range(WINDOWS)]
            pairs.append((min(window[0] for window in windows), min(window[1] for window in windows)))
    finally:
        gc.enable()
    lower, median, upper = statistics.quantiles((a / b for a, b in pairs), n=4)
    spread = (upper - lower) / 2 / median
    return Result(name, median, spread, min(a for a, _ in pairs) * 1e6, min(b for _, b in pairs) * 1e6)


def _window(work: Callable[[], object], repeats: int) -> float:
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - began) / repeats


def _repeats(work: Callable[[], object]) -> int:
    _window(work, 3)
    return max(1, int(WINDOW_SECONDS / _window(work, 10)))
