"""What is freed goes back to the system."""

import platform
import subprocess
import sys

import pytest

KEEPS = """
import sys
import numpy as np
from shared.heap import LARGE, return_large_blocks


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


if sys.argv[1] == "yes":
    return_large_blocks()
np.ones(30 << 20, np.uint8)  # from now on, glibc takes blocks of 5 MB from its heap
before = resident()
blocks, little = [], []
for _ in range(40):
    blocks.append(np.ones(5 << 20, np.uint8))
    little.append(bytearray(b"x" * 100_000))
blocks.clear()
print((resident() - before) / LARGE)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_large_blocks_go_back_although_small_ones_lie_between_them() -> None:
    kept = {
        told: float(subprocess.check_output([sys.executable, "-c", KEEPS, told], text=True))
        for told in ("no", "yes")
    }
    assert kept["no"] > 20
    assert kept["yes"] < 5
