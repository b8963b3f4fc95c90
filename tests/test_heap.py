"""What is freed goes back to the system."""

import os
import platform
import subprocess
import sys

import pytest

KEEPS = """
import resource
import sys
import numpy as np
from shared.heap import LARGE, return_large_blocks


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


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
    # Another allocator, or other settings of this one, would be measured otherwise.
    unset = ("LD_PRELOAD", "GLIBC_TUNABLES")
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in unset and not name.startswith("MALLOC_")
    }
    kept = {}
    for told in ("no", "yes"):
        command = [sys.executable, "-c", KEEPS, told]
        kept[told] = float(subprocess.check_output(command, text=True, env=environment))
    assert kept["no"] > 20
    assert kept["yes"] < 5
