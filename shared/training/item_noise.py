"""Random numbers of training that belong to the examples of a batch, however it is divided.

Inside `ItemNoise`, dropout and random tensors of torch are drawn for each example by itself, from
the seed, the step, the number of the example in the whole batch, and how many such draws came
before. Hence several processes draw together what one process draws.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}
SIZED = (torch.rand, torch.randn)


class ItemNoise(TorchFunctionMode):
    """Draws what is random example by example, while the block lasts.

    Tensors count whose first axis is as long as there are examples. All others are drawn from
    torch's own generator.
    """

    def __init__(self, seed: int, step: int, items: Sequence[int]) -> None:
        """Prepare for the examples whose numbers in the whole batch are `items`."""
        super().__init__()
        self._place = (seed, step)
        self._items = items
        self._draws = 0
        self._generators: dict[torch.device, torch.Generator] = {}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Draw what is random, and leave everything else as it is."""
        kwargs = kwargs or {}
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func in LIKE and self._is_ours(args[0].shape):
            given = {"dtype": args[0].dtype, "device": args[0].device, **kwargs}
            return self._draw(LIKE[func], args[0].shape, **given)
        if func in SIZED and "generator" not in kwargs:
            shape = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
            if self._is_ours(shape):
                return self._draw(func, shape, **kwargs)
        return func(*args, **kwargs)

    def _is_ours(self, shape: Sequence[int]) -> bool:
        return len(shape) > 0 and shape[0] == len(self._items)

    def _dropout(
        self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> Tensor:
        if not training or p == 0 or not self._is_ours(input.shape):
            return F.dropout(input, p, training, inplace)
        uniform = self._draw(torch.rand, input.shape, device=input.device)
        return input * ((uniform >= p).to(input.dtype) / (1 - p))

    def _draw(self, draw: Callable[..., Tensor], shape: Sequence[int], **kwargs: Any) -> Tensor:
        """Draw `[items, ...]`, each item with a generator of its own.

        Where the second axis is longer in another process, because there an example is padded
        further, uniform numbers (and hence dropout) are the same as far as they go, on the CPU.
        """
        device = torch.device(kwargs.get("device") or "cpu")
        generator = self._generators.setdefault(device, torch.Generator(device))
        rows = []
        for item in self._items:
            text = repr((*self._place, item, self._draws)).encode()
            digest = hashlib.blake2b(text, digest_size=7).digest()
            generator.manual_seed(int.from_bytes(digest, "big"))
            rows.append(draw(*shape[1:], generator=generator, **kwargs))
        self._draws += 1
        return torch.stack(rows)
