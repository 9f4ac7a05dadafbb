import ctypes

from unsupjax.parallel import heap


def test_what_is_freed_is_kept_and_other_libraries_are_left_alone(monkeypatch):
    asked = []

    class Glibc:
        def mallopt(self, parameter, value):
            asked.append((parameter, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Glibc())
    heap.keep_freed_memory()
    assert asked == [(-8, 2), (-3, 2**30), (-1, 2**31 - 1)]  # M_ARENA_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())  # musl, or macOS
    heap.keep_freed_memory()
