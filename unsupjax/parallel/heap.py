"""What the C library does with memory that is freed."""

import contextlib
import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8


def keep_freed_memory() -> None:
    """Has glibc keep what is freed, for the next to ask, and serve all threads from two heaps.

    A step on a CPU frees arrays of megabytes that the next step asks for again. glibc gives them back to the system,
    and each page of those that it gets instead is filled with zeros by one core, while the others wait: a tenth to a
    fifth of the time. A process holds as much as its largest moment took.

    With a heap for each of the many short-lived threads that write checkpoints, a long run's memory creeps up by
    fragments. That number is only kept where there are no threads yet. Other C libraries are left as they are.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_ARENA_MAX, 2)
        mallopt(_MMAP_THRESHOLD, 2**30)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
