"""Save the clips of `evaluate-prior` as WAV files, to listen to.

For each clip there are the accompaniment and the true bass, and for each line that was generated
for it the line alone and its mix with the accompaniment. `figures.json` beside them has the figures
of every line.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.codes.codec import Codec
from shared.json_files import write_json
from shared.sound.files import write_wav
from shared.sound.samples import Samples, unclipped
from shared.sources import BASS
from stage2_prior.clip_sampler import HeardLine
from stage2_prior.clips import Clip, MixedClip
from stage2_prior.report_sections import GeneratedRow, Judged

FIGURES = "figures.json"


@dataclass(frozen=True)
class ClipAudio:
    """The files that are saved for some clips.

    Attributes:
        folder: the folder that they appear in.
        clips: the clips.
        rows: which lines were generated for them.
    """

    folder: Path
    clips: Sequence[Clip]
    rows: Sequence[GeneratedRow]

    @property
    def paths(self) -> dict[str, Path]:
        """The path of each file by its name."""
        names = [name for clip in self.clips for name in self._names(clip)]
        return {name: self.folder / name for name in (*names, FIGURES)}

    def write(
        self,
        files: Mapping[str, Path],
        clip: Clip,
        accompaniment: Samples,
        true_bass: Samples,
        lines: Mapping[str, HeardLine],
    ) -> None:
        """Write the files of one clip.

        Every file is made quieter as a whole where it would clip.

        Args:
            files: where to write each of the files of `paths`.
            clip: the clip.
            accompaniment: its song without the bass `[2, num_samples]`.
            true_bass: its own bass `[2, num_samples]`.
            lines: what was generated for it, by the name of the row.
        """
        sounds = [accompaniment, true_bass]
        for row in self.rows:
            bass = lines[row.name].sound
            sounds += [bass, accompaniment + bass]
        for name, sound in zip(self._names(clip), sounds, strict=True):
            write_wav(files[name], unclipped(sound)[0], clip.song.sample_rate)

    def write_figures(self, files: Mapping[str, Path], judged: Judged) -> None:
        """Write the figures of all lines of all clips, those that are no files among them."""
        clips = [
            {
                "song": clip.song.track,
                "split": clip.song.split,
                "start": clip.start,
                "seconds": clip.seconds,
                "files": self._names(clip),
                "lines": {name: lines[clip.number].values for name, lines in judged.items()},
            }
            for clip in self.clips
        ]
        write_json(files[FIGURES], {"clips": clips})

    def _names(self, clip: Clip) -> list[str]:
        """Name the files of a clip: accompaniment, true bass, and two for each generated line."""
        start = f"{clip.number:03d} {clip.song.track}"
        names = [f"{start}.accompaniment.wav", f"{start}.true-bass.wav"]
        for row in self.rows:
            line = f"{start}.{row.prior}{'.bass-removed' if row.from_mixture else ''}"
            names += [f"{line}.bass.wav", f"{line}.mix.wav"]
        return names


def accompaniment_sound(clip: Clip, mixed: MixedClip | None, codec: Codec) -> Samples:
    """Return the song without its bass `[2, num_samples]`: its stems, or else its decoded codes.

    Args:
        clip: the clip.
        mixed: the clip with its stems, if there are any.
        codec: the codec of the clip.
    """
    if mixed is not None:
        return mixed.without_bass
    others = [name for index, name in enumerate(codec.sources) if index != BASS]
    decoded = codec.decode(clip.accompaniment, clip.num_samples, others)
    return decoded / clip.song.gain
