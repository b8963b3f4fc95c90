"""How memory that was freed goes back to the system."""

import ctypes
import platform

LARGE = 4 << 20  # bytes
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def return_large_blocks() -> None:
    """Let blocks of LARGE bytes or more go back to the system as soon as they are freed.

    glibc does so for blocks beyond a size which it raises, up to 32 MB, whenever a larger one is
    freed. Smaller blocks are cut from a heap, in which a little that lasts keeps much that was
    freed from the system. Arrays of a song of hours are of just such sizes. Other allocators are
    left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
