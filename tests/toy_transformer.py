"""A small Transformer of x-transformers, with weights as after training."""

from typing import Any, TypeVar

import torch
from torch import nn

DIM, HEADS = 32, 2

M = TypeVar("M", bound=nn.Module)


def make_layers(kind: type[M], **options: Any) -> M:
    """Make two pre-norm layers with rotary positions of a class of x-transformers."""
    torch.manual_seed(0)
    settings = {
        "dim": DIM,
        "depth": 2,
        "heads": HEADS,
        "attn_dim_head": DIM // HEADS,
        "attn_flash": True,
        "ff_mult": 2,
        "rotary_pos_emb": True,
        "rotary_emb_dim": DIM // HEADS,
        "verbose": False,
    }
    layers = kind(**(settings | options)).eval()
    with torch.no_grad():  # biases and gains of a trained model are not zero
        for parameter in layers.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layers.requires_grad_(False)
