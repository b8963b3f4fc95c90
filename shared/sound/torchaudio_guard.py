"""Import torchaudio beside any build of torch.

The wheels of torchaudio hold a compiled extension that is linked to one version of CUDA. Beside a
CPU build of torch, `import torchaudio` therefore raises OSError, and beside another CUDA it raises
RuntimeError, although torchaudio's transforms and functional modules need no extension. Where the
plain import fails, this module declares the extension absent and imports torchaudio again.

Use `from shared.sound.torchaudio_guard import torchaudio`. To read and write audio files, use
`shared.sound.files`.
"""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["torchaudio"]


def _needs_extension(function: Callable[..., Any]) -> Callable[..., Any]:
    def absent(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            f"torchaudio's {function.__name__} needs its compiled extension, "
            "which does not fit the installed torch"
        )

    return absent


def _absent_extension() -> ModuleType:
    """Stand in for `torchaudio._extension` with the three names that torchaudio reads from it."""
    stub = ModuleType("torchaudio._extension")
    vars(stub).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        fail_if_no_align=_needs_extension,
    )
    return stub


def _import() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except (OSError, RuntimeError):
        for name in [n for n in sys.modules if n.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _absent_extension()
        return importlib.import_module("torchaudio")


torchaudio = _import()
