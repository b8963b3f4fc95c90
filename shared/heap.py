"""How memory that was freed goes back to the system."""

import ctypes
import platform

LARGE = 4 << 20  # bytes
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def return_large_blocks() -> None:
    """Let blocks of LARGE bytes or more go back to the system as soon as they are freed.

    glibc does so for blocks beyond a size which it raises, up to 32 MB, whenever a larger one is
    freed. Smaller blocks come from a heap, where a small block that is still used keeps the freed
    memory around it from going back to the system. Arrays of a song of hours are of just such
    sizes. Getting large blocks anew each time takes up to a fifth more time, so that this is worth
    it for long songs only. Other allocators are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE)
