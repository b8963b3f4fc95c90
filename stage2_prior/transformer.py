"""The plain Transformer, with rotary positions, of which all networks of the prior are built."""

from typing import Any, NamedTuple, Protocol, TypeVar

from stage2_prior.x_transformers_guard import Attention, Decoder, Encoder, FeedForward

T = TypeVar("T", Encoder, Decoder)


class Sizes(Protocol):
    """The sizes that all layers of a network share."""

    @property
    def dim(self) -> int:
        """The width."""

    @property
    def heads(self) -> int:
        """The number of attention heads."""

    @property
    def feedforward(self) -> int:
        """The inner width of a feed-forward layer, in units of `dim`."""

    @property
    def dropout(self) -> float:
        """The dropout of the feed-forward layers."""


def make_transformer(kind: type[T], sizes: Sizes, depth: int) -> T:
    """Build a bidirectional encoder or a causal decoder with random weights."""
    head_dim = sizes.dim // sizes.heads
    transformer = kind(
        dim=sizes.dim,
        depth=depth,
        heads=sizes.heads,
        attn_dim_head=head_dim,
        attn_flash=True,  # and no attention dropout, which no fused CPU kernel supports
        ff_mult=sizes.feedforward,
        ff_dropout=sizes.dropout,
        rotary_pos_emb=True,
        rotary_emb_dim=head_dim,
        verbose=False,
    )
    # The frequencies are constants. In a checkpoint of half precision they would shift all
    # positions, so they are kept out of it.
    rotary = transformer.rotary_pos_emb
    rotary.register_buffer("inv_freq", rotary.inv_freq, persistent=False)
    return transformer


class PlainLayer(NamedTuple):
    """The modules of a layer of a plain pre-norm Transformer, in the order of their work."""

    attention_norm: Any
    attention: Attention
    feed_norm: Any
    feed: FeedForward


def plain_layers(transformer: Encoder | Decoder) -> list[PlainLayer]:
    """Return the layers of a Transformer that is computed without the help of x-transformers.

    Raises:
        TypeError: it is not a plain pre-norm Transformer with rotary positions.
    """
    if transformer.rotary_pos_emb is None:
        raise TypeError("the Transformer has no rotary positions")
    blocks = list(transformer.layers)
    return [_plain_layer(*blocks[i : i + 2]) for i in range(0, len(blocks), 2)]


def _plain_layer(attention_block: Any, feed_block: Any) -> PlainLayer:
    (attention_norm, *rest), attention, _ = attention_block
    (feed_norm, *others), feed, _ = feed_block
    plain = isinstance(attention, Attention) and isinstance(feed, FeedForward)
    if not plain or any(norm is not None for norm in (*rest, *others)):
        raise TypeError("the Transformer is not a plain one with norms before its layers")
    return PlainLayer(attention_norm, attention, feed_norm, feed)
