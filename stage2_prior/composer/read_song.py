"""A song as the reader of the composer reads it, at the positions that the lines come to.

What is read of a position takes a kilobyte, and is computed when it is asked for. What is read of
each beat in the context of all others takes a kilobyte a beat, and is held for the whole song.
How well a position fits as the beginning of a note is asked for many times, and is computed part
by part. Lines are written from the beginning of a song to its end, so that parts which all lines
have left behind are forgotten.
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
        for number, beats_of_part in enumerate(beats.split(READ_AT_ONCE // STEPS, dim=1)):
            part = slice(number * READ_AT_ONCE, (number + 1) * READ_AT_ONCE)
            given = self._expanded(features[part], place[part])
            beats_of_part.copy_(composer.reader.beats(*given, hidden))
        self._context = encode_in_blocks(composer.reader.form, beats)
        self._choices: dict[int, Tensor] = {}

    def heard(self, positions: Tensor) -> Tensor:
        """Return the features at some positions `[V, N, FEATURES]`; zeros where hidden."""
        return torch.where(self._hidden[:, None, None], 0.0, self._features[positions])

    def at(self, positions: Tensor) -> Tensor:
        """Return what is read at some positions `[N]`, as `[V, N, D]`."""
        features, place = self._expanded(self._features[positions], self._place[positions])
        context = self._context[:, positions // STEPS]
        return self._composer.reader.in_context(features, place, self._hidden, context)

    def onset_choices(self, positions: Tensor) -> Tensor:
        """Return how well positions `[C, K]` fit as onsets, as vectors `[V, C, K, choice_dim]`.

        Those of less than HORIZON positions after the end are zeros. No position may lie before all
        that were asked for earlier, or its part is computed again.
        """
        if self._last == 0:
            return self._choices_of(0)[:, positions]
        number = (positions // READ_AT_ONCE).clamp_max(self._last)
        first, last = int(number.min()), int(number.max())
        self._choices = {part: known for part, known in self._choices.items() if part >= first}
        size = self._choices_of(first).shape[-1]
        rows = self._features.new_empty(self.versions, *positions.shape, size)
        for part in range(first, last + 1):
            within = number == part
            if within.any():
                inside = positions[within] - part * READ_AT_ONCE
                rows[:, within] = self._choices_of(part)[:, inside]
        return rows

    def _choices_of(self, number: int) -> Tensor:
        """Return how well the positions of a part fit as onsets `[V, positions, choice_dim]`."""
        if number not in self._choices:
            start = number * READ_AT_ONCE
            positions = torch.arange(start, min(start + READ_AT_ONCE, self.end), device=self.device)
            choices = self._composer.onset_choices(self.at(positions), self._place[positions])
            if number == self._last:
                choices = F.pad(choices, (0, 0, 0, HORIZON))
            self._choices[number] = choices
        return self._choices[number]

    def _expanded(self, features: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """Repeat features and places for each version, without copying them."""
        return features.expand(self.versions, -1, -1), place.expand(self.versions, -1)
