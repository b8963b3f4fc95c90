"""The prior: a listener, a composer and a performer, which together write a bass line for a song.

    p(notes, codes | song) = p(notes | song) p(codes | notes)

The listener hears the codes of the accompaniment and names notes, chords and beats. The composer
writes the notes of the bass on the bars that were found, given what was heard. The performer writes
the codes of a bass that plays these notes. Each is a network of its own and is trained by itself.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from shared.codes.codec import Codec, CodeFormat
from shared.codes.song_codes import require_fingerprint
from shared.device import resolve_device
from shared.training.checkpoint import load_checkpoint, load_weights
from stage2_prior.balance import BalanceRange
from stage2_prior.composer.network import Composer
from stage2_prior.config import ModelConfig
from stage2_prior.listener.network import Listener
from stage2_prior.performer.network import Performer
from stage2_prior.sampling_defaults import SamplingDefaults

SHIPPED = Path(__file__).parent / "weights" / "compact.safetensors"


class Prior(nn.Module):
    """The distribution of the notes and codes of the bass, given the codes of the accompaniment.

    Attributes:
        config: the sizes of the networks.
        format: the format of the codes. Its fingerprint is the codec's.
        fingerprint: the fingerprint of the prior's own weights.
        sampling: the settings that sampling starts from.
        balance: the range of levels that generated lines are brought into.
        listener: hears the song.
        composer: writes the notes.
        performer: writes the codes.
    """

    def __init__(
        self,
        config: ModelConfig,
        format: CodeFormat,
        fingerprint: str,
        sampling: SamplingDefaults | None = None,
        balance: BalanceRange | None = None,
    ) -> None:
        """Build the networks with random weights.

        Args:
            config: see the attributes.
            format: see the attributes.
            fingerprint: see the attributes.
            sampling: see the attributes; the fallback values by default.
            balance: see the attributes; the fallback values by default.

        Raises:
            UserError: the configuration does not fit the codes.
        """
        super().__init__()
        self.config, self.format, self.fingerprint = config, format, fingerprint
        self.sampling, self.balance = sampling or SamplingDefaults(), balance or BalanceRange()
        self.listener = Listener(config.listener, format)
        self.composer = Composer(config.composer)
        self.performer = Performer(config.performer, format)

    def require_codec(self, codec: Codec, name: str = "this prior") -> None:
        """Check that the prior was trained on the codes of a codec.

        Raises:
            UserError: it was trained on those of another one. The sentence calls the prior `name`.
        """
        require_fingerprint(self.format.fingerprint, codec.fingerprint, f"the codes of {name}")


def prior_metadata(model: Prior) -> dict[str, Any]:
    """Return the entries for the JSON of a checkpoint that `load_prior` needs."""
    return {
        "model": asdict(model.config),
        "codes": asdict(model.format),
        "sampling": asdict(model.sampling),
        "balance": asdict(model.balance),
    }


def load_prior(path: Path | None = None, device: str = "cpu") -> Prior:
    """Load a prior that is ready to sample.

    Args:
        path: a run folder or a .safetensors file; the prior that ships with the project if None.
        device: the device to load it to.

    Raises:
        UserError: the checkpoint is missing, damaged, or of another stage.
    """
    checkpoint = load_checkpoint(SHIPPED if path is None else path, "prior")
    model = Prior(
        checkpoint.read("model", ModelConfig),
        checkpoint.read("codes", CodeFormat),
        checkpoint.meta["fingerprint"],
        checkpoint.read("sampling", SamplingDefaults, optional=True),
        checkpoint.read("balance", BalanceRange, optional=True),
    )
    load_weights(model, checkpoint)
    return model.eval().requires_grad_(False).to(resolve_device(device))
