"""What a worker keeps of memory that it needed once; how much, ``benchmarks/million.py`` measures."""

import ctypes
import subprocess
import sys

import pytest

#: Eight threads each take memory at the same time, then glibc says of each heap what it holds.
HEAPS = """
import ctypes, sys, threading
from signalpost.worker import process
if sys.argv[1] == "worker":
    process._give_memory_back()
met = threading.Barrier(8)
def take():
    kept = [bytearray(5_000) for _ in range(100)]
    met.wait(30)
threads = [threading.Thread(target=take) for _ in range(8)]
for one in threads: one.start()
for one in threads: one.join()
libc = ctypes.CDLL(None)
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
"""


def heaps(whose: str) -> int:
    said = subprocess.run(
        [sys.executable, "-c", HEAPS, whose], capture_output=True, text=True, check=True
    )
    return said.stdout.count("<heap nr=")


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_info"), reason="only glibc tells of its heaps"
)
def test_the_threads_of_a_worker_share_one_heap():
    """Each would keep a heap of its own, and more and more in it while a million are sent to."""
    assert heaps("worker") == 1
    assert heaps("anybody") > 1  # so that this would be seen
