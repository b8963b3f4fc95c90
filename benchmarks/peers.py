"""Programs that do what this project does, from other projects, with random weights of their sizes.

Each function returns a program to time, or raises `Missing` where the package is not installed. The
weights are random because speed does not depend on them and nothing has to be downloaded.
"""

import importlib
import shutil
import subprocess
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.errors import UserError
from shared.sound.torchaudio_guard import torchaudio  # noqa: F401 - the peers import it after this
from stage1_vqvae.bss_eval import load_museval

Program = Callable[[], object]


class Missing(Exception):
    """A peer that is not installed; the text says what would install it."""


def versions(*packages: str) -> str:
    """Return the names and versions of packages, such as "snac 1.2.1"."""
    return ", ".join(f"{package} {version(package)}" for package in packages)


def package(name: str, distribution: str | None = None) -> Any:
    """Import a module.

    Raises:
        Missing: it is not installed.
    """
    try:
        version(distribution or name)
        return importlib.import_module(name)
    except (ImportError, PackageNotFoundError) as error:
        raise Missing(f"{distribution or name} is not installed") from error


def encodec(audio: np.ndarray) -> Program:
    """EnCodec, 48 kHz stereo at 6 kbit/s: encode and decode `[2, N]`."""
    hub = package("transformers")
    config = hub.EncodecConfig(
        target_bandwidths=[3.0, 6.0, 12.0, 24.0],
        sampling_rate=48000,
        audio_channels=2,
        normalize=True,
        chunk_length_s=1.0,
        overlap=0.01,
        norm_type="time_group_norm",
        use_causal_conv=False,
    )  # facebook/encodec_48khz
    model, sound = hub.EncodecModel(config).eval(), torch.from_numpy(audio)[None]

    @torch.inference_mode()
    def run() -> object:
        coded = model.encode(sound, bandwidth=6.0)
        return model.decode(
            coded.audio_codes,
            coded.audio_scales,
            last_frame_pad_length=coded.last_frame_pad_length,
        )

    return run


def dac(audio: np.ndarray) -> Program:
    """DAC, 44.1 kHz: encode and decode both channels of `[2, N]`."""
    hub = package("transformers")
    model = hub.DacModel(hub.DacConfig(sampling_rate=44100)).eval()  # descript/dac_44khz
    channels = torch.from_numpy(audio)[:, None]

    @torch.inference_mode()
    def run() -> object:
        return [model.decode(audio_codes=model.encode(c[None]).audio_codes) for c in channels]

    return run


def snac(audio: np.ndarray) -> Program:
    """SNAC, 44.1 kHz: encode and decode both channels of `[2, N]`."""
    model = (
        package("snac")
        .SNAC(
            sampling_rate=44100,
            encoder_dim=64,
            encoder_rates=[3, 3, 7, 7],
            decoder_dim=1536,
            decoder_rates=[7, 7, 3, 3],
            attn_window_size=None,
            codebook_size=4096,
            codebook_dim=8,
            vq_strides=[8, 4, 2, 1],
        )
        .eval()
    )  # hubertsiuzdak/snac_44khz
    channels = torch.from_numpy(audio)[:, None]

    @torch.inference_mode()
    def run() -> object:
        return [model.decode(model.encode(channel[None])) for channel in channels]

    return run


def vocos(seconds: float) -> Program:
    """Vocos, 24 kHz: decode mel spectrograms of two channels, which its encoder makes."""
    package("vocos")
    models = importlib.import_module("vocos.models")
    heads = importlib.import_module("vocos.heads")
    backbone = models.VocosBackbone(100, 512, 1536, 8).eval()  # charactr/vocos-mel-24khz
    head = heads.ISTFTHead(512, 1024, 256).eval()
    mel = torch.randn(2, 100, round(seconds * 24000 / 256))

    @torch.inference_mode()
    def run() -> object:
        return head(backbone(mel))

    return run


def musicgen(dim: int, depth: int, heads: int, feedforward: int, codes: tuple[int, int]) -> Any:
    """A decoder as MusicGen has it, of any size; `codes` are its codebooks and their entries."""
    hub = package("transformers")
    books, entries = codes
    config = hub.MusicgenDecoderConfig(
        vocab_size=entries,
        num_codebooks=books,
        hidden_size=dim,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        ffn_dim=feedforward,
        pad_token_id=entries,
        bos_token_id=entries,
        max_position_embeddings=4096,
    )
    return hub.MusicgenForCausalLM(config).eval()


@torch.inference_mode()
def musicgen_steps(model: Any, batch: int, steps: int) -> None:
    """Run so many steps of a MusicGen decoder with its cache, and draw its codes."""
    books = model.config.num_codebooks
    codes, past = torch.zeros(batch * books, 1, dtype=torch.long), None
    for _ in range(steps):
        made = model(input_ids=codes, past_key_values=past, use_cache=True)
        past = made.past_key_values
        logits = made.logits[:, -1].softmax(-1)
        codes = torch.multinomial(logits, 1)


def sdr_by_museval(truth: np.ndarray, estimate: np.ndarray, rate: int) -> Program:
    """BSSEval v4 of `[S, 2, N]` by museval, in windows of 1 s."""
    try:
        museval = load_museval()
    except UserError as error:
        raise Missing(str(error)) from error
    references, estimates = (each.transpose(0, 2, 1) for each in (truth, estimate))
    return lambda: museval.bss_eval(references, estimates, window=rate, hop=rate)


def sdr_by_fast_bss_eval(truth: np.ndarray, estimate: np.ndarray) -> Program:
    """BSSEval of whole signals `[S, 2, N]`, mixed to one channel, by fast-bss-eval."""
    fast = package("fast_bss_eval", "fast-bss-eval")
    references, estimates = (each.mean(1) for each in (truth, estimate))
    return lambda: fast.sdr(references, estimates)


def fluidsynth(midi: Path, soundfont: Path, out: Path) -> Program:
    """Render a MIDI file by the program fluidsynth."""
    if shutil.which("fluidsynth") is None:
        raise Missing("the program fluidsynth is not installed (apt-get install fluidsynth)")
    command = ["fluidsynth", "-ni", "-F", str(out), "-r", "44100", str(soundfont), str(midi)]
    return lambda: subprocess.run(command, check=True, capture_output=True)


PACKAGES = (
    *("transformers", "snac", "vocos", "encodec", "x-transformers"),
    *("musdb", "museval", "fast-bss-eval"),
)


def installed() -> dict[str, str | None]:
    """Return the version of each peer's package; None where it is missing."""
    found: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
