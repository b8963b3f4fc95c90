"""A song as the reader of the composer reads it, part by part as the lines come to it.

What is read of a position takes a kilobyte. Lines are written from the beginning of a song to its
end, so that parts which all lines have left behind are forgotten. Of the whole song, only what is
read of each beat in the context of all others is held, which takes a kilobyte a beat.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from shared.music.bar_grid import STEPS
from stage2_prior.composer.network import HORIZON, Composer
from stage2_prior.encoder_in_blocks import encode_in_blocks

READ_AT_ONCE = 1024 * STEPS  # positions of a part


class ReadSong:
    """What the reader says of versions of a song, in some of which the song is hidden.

    Attributes:
        versions: how many versions there are.
        end: how many positions the song has.
        device: where they are computed.
    """

    def __init__(self, composer: Composer, features: Tensor, place: Tensor, hidden: Tensor) -> None:
        """Read the beats of a song, each in the context of all others.

        Args:
            composer: a composer in eval mode.
            features: what the listener hears at each position `[P, FEATURES]`.
            place: how far each position is into its bar `[P]`.
            hidden: whether the features are hidden in each version `[V]`; the bars never are.
        """
        self.versions, self.end, self.device = len(hidden), len(place), features.device
        self._composer, self._features, self._place = composer, features, place
        self._hidden = hidden
        self._last = (self.end - 1) // READ_AT_ONCE  # the number of the last part
        beats = features.new_empty(self.versions, self.end // STEPS, composer.config.dim)
        for number, part in enumerate(beats.split(READ_AT_ONCE // STEPS, dim=1)):
            part.copy_(composer.reader.beats(*self._given(number)))
        self._context = encode_in_blocks(composer.reader.form, beats)
        self._read: dict[int, tuple[Tensor, Tensor]] = {}

    def heard(self, positions: Tensor) -> Tensor:
        """Return the features at some positions `[V, N, FEATURES]`; zeros where hidden."""
        return torch.where(self._hidden[:, None, None], 0.0, self._features[positions])

    def at(self, positions: Tensor) -> Tensor:
        """Return what is read at some positions `[N]`, as `[V, N, D]`.

        No position may lie before all that were asked for earlier, or its part is read again.
        """
        return self._rows(0, positions)

    def onset_choices(self, positions: Tensor) -> Tensor:
        """Return what some positions `[C, K]` say for themselves as onsets `[V, C, K, choice_dim]`.

        Those of less than HORIZON positions after the end are zeros.
        """
        return self._rows(1, positions)

    def _rows(self, kind: int, positions: Tensor) -> Tensor:
        if self._last == 0:
            return self._part(0)[kind][:, positions]
        number = (positions // READ_AT_ONCE).clamp_max(self._last)
        first, last = int(number.min()), int(number.max())
        self._read = {part: read for part, read in self._read.items() if part >= first}
        size = self._part(first)[kind].shape[-1]
        rows = self._features.new_empty(self.versions, *positions.shape, size)
        for part in range(first, last + 1):
            within = number == part
            if within.any():
                rows[:, within] = self._part(part)[kind][:, positions[within] - part * READ_AT_ONCE]
        return rows

    def _part(self, number: int) -> tuple[Tensor, Tensor]:
        """Return what is read at the positions of a part, and what they say as onsets."""
        if number not in self._read:
            features, place, hidden = self._given(number)
            beats = READ_AT_ONCE // STEPS
            context = self._context[:, number * beats : (number + 1) * beats]
            song = self._composer.reader.in_context(features, place, hidden, context)
            choices = self._composer.onset_choices(song, place)
            if number == self._last:
                choices = F.pad(choices, (0, 0, 0, HORIZON))
            self._read[number] = (song, choices)
        return self._read[number]

    def _given(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features, the places and what is hidden of a part, for each version."""
        part = slice(number * READ_AT_ONCE, (number + 1) * READ_AT_ONCE)
        features, place = self._features[part], self._place[part]
        count = self.versions
        return features.expand(count, -1, -1), place.expand(count, -1), self._hidden
