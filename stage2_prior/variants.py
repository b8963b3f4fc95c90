"""The variants of a prior that `ablate-prior` compares: each lacks one part of the recipe.

Some need a training of their own, because the part has its effect there. The others are the weights
of the full prior, from which lines are sampled in another way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from stage2_prior.config import Part, PriorConfig
from stage2_prior.harmony import Harmony, HarmonySource
from stage2_prior.sampling import SamplingSettings

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """A way to train a prior, and a way to sample its lines.

    Attributes:
        name: what the report calls it.
        config: how the prior is trained; None for the weights of the full prior.
        settings: the settings of sampling that differ from those of the full prior.
        harmony: where the chords come from that weigh the notes.
        view: the view of the songs that is heard.
        composed: whether the composer writes the notes. Otherwise they are the notes that the
            listener finds most probable, frame by frame.
    """

    name: str
    config: PriorConfig | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    harmony: Harmony = field(default_factory=Harmony)
    view: str = "accompaniment"
    composed: bool = True


def sampled_variants(settings: SamplingSettings) -> list[Variant]:
    """List the variants of a trained prior: the full one first.

    A part that the settings do not use gives no variant.
    """
    off = Harmony(HarmonySource.OFF)
    alone = {"guidance": 0.0, "candidates": 1}
    candidates = [
        Variant(FULL),
        Variant("without the composer", composed=False),
        Variant("without the listener (bars alone)", settings=alone, harmony=off),
        Variant("without guidance by the song", settings={"guidance": 1.0}),
        Variant("without note guidance", settings={"note_guidance": 1.0}),
        Variant("without the heard chords as weights", harmony=off),
        Variant("with one candidate", settings={"candidates": 1}),
        Variant("hearing the mixture, with its bass", view="mixture"),
    ]
    usual = (settings, Harmony(), "accompaniment", True)
    return [
        each
        for each in candidates
        if each.name == FULL
        or (replace(settings, **each.settings), each.harmony, each.view, each.composed) != usual
    ]


def trained_variants(full: PriorConfig) -> list[Variant]:
    """List the variants that are trained without a part of the recipe `full`.

    A part that the recipe does not use gives no variant.
    """
    listener, composer, performer = full.listener, full.composer, full.performer
    heard = replace(listener.hiding, drop_source=0.0, hidden_codes=0.0)
    trusting = replace(performer.practice, hidden_codes=0.0, hidden_span=0.0)
    in_key, sure = replace(composer.varying, transpose=False), replace(composer.varying, soften=0.0)
    candidates = {
        "trained on the mixture": replace(full, listener=replace(listener, views=("mixture",))),
        "trained without hidden sources": replace(full, listener=replace(listener, hiding=heard)),
        "trained in the songs' own keys": replace(full, composer=replace(composer, varying=in_key)),
        "trained without softening": replace(full, composer=replace(composer, varying=sure)),
        "trained with the whole history": replace(
            full, performer=replace(performer, practice=trusting)
        ),
    }
    return [Variant(name, config) for name, config in candidates.items() if config != full]


def parts_to_train(full: PriorConfig, other: PriorConfig) -> tuple[Part, ...]:
    """Return the parts that two recipes train differently.

    The composer learns from what the listener hears, and is trained again with it.
    """
    parts: list[Part] = []
    if other.listener != full.listener:
        parts.append("listener")
    if parts or other.composer != full.composer:
        parts.append("composer")
    if other.performer != full.performer:
        parts.append("performer")
    return tuple(parts)
