"""Which processes share a job: torchrun's variables, Slurm's, and work that is divided."""

import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from shared.codes.manifest import read_manifest
from shared.codes.song_codes import SongCodes
from shared.config import load_config
from shared.errors import UserError
from shared.processes import Processes, find_processes, mean_over_processes
from shared.training.checkpoint import save_checkpoint
from stage1_vqvae.codec import load_codec
from stage1_vqvae.config import PRESETS, VQVAEConfig
from stage1_vqvae.extract import extract_codes
from stage1_vqvae.model import VQVAE
from tests.launching import ROOT, run_with_torchrun

STEP = {
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "20003",
}


def test_without_variables_there_is_one_process() -> None:
    assert find_processes({}) == Processes()
    # A batch script of Slurm has these variables without having been started by srun.
    assert find_processes({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) == Processes()


def test_torchruns_variables() -> None:
    given = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}
    assert find_processes(given | STEP) == Processes(3, 4, 1, 2)


def test_slurms_variables_become_torchruns() -> None:
    variables = dict(STEP)
    assert find_processes(variables) == Processes(5, 8, 1, 4)
    named = {name: variables[name] for name in ("MASTER_ADDR", "MASTER_PORT", "GROUP_RANK")}
    assert named == {"MASTER_ADDR": "gpu07", "MASTER_PORT": "12003", "GROUP_RANK": "1"}
    assert find_processes(variables) == Processes(5, 8, 1, 4)


@pytest.mark.parametrize(
    ("hosts", "first"),
    [("a", "a"), ("a,b", "a"), ("n[3,5-7],m1", "n3"), ("rack1-[002-010]", "rack1-002")],
)
def test_the_first_host_is_where_processes_meet(hosts: str, first: str) -> None:
    variables = STEP | {"SLURM_STEP_NODELIST": hosts}
    find_processes(variables)
    assert variables["MASTER_ADDR"] == first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SLURM_STEP_NUM_NODES": "3"}, "8 Slurm tasks are not equally many on 3 machines"),
        ({"SLURM_LOCALID": "x"}, "LOCAL_RANK"),
        ({"SLURM_JOB_ID": "x"}, "variables of the Slurm step cannot be read"),
    ],
)
def test_variables_that_make_no_sense_are_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_processes(STEP | changes)


def test_the_mean_over_one_process_is_the_value_without_gradient() -> None:
    value = torch.tensor([1.0, 2.0], requires_grad=True)
    mean = mean_over_processes(value)
    assert torch.equal(mean, value)
    assert not mean.requires_grad


@pytest.mark.slow
def test_processes_of_torchrun_divide_the_songs(stem_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    path = tmp_path / "codec.safetensors"
    meta = {"stage": "vqvae", "config": asdict(config)}
    save_checkpoint(path, VQVAE(config.model).state_dict(), meta)
    arguments = ("--data", stem_folder, "--codec", path, "--device", "cpu", "--out")
    several = tmp_path / "several"
    done = run_with_torchrun(ROOT / "cli.py", "extract-codes", *arguments, several)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("2 written, 0 already there, 0 failed") == 2
    whole = extract_codes(stem_folder, load_codec(path), tmp_path / "whole").manifest.parent
    files = [read_manifest(folder).files for folder in (whole, several)]
    assert [len(each) for each in files] == [4, 4]
    for one, other in zip(*files, strict=True):
        assert one.relative_to(whole) == other.relative_to(several)
        assert one.read_bytes() == other.read_bytes()
        assert SongCodes.load(one).num_frames > 0


SLOW_EXTRACTION = """
import sys, time
import cli
from stage1_vqvae import extract

encode_file = extract._encode_file

def slowly(song, *given):
    time.sleep(5)
    return encode_file(song, *given)

extract._encode_file = slowly
cli.app(sys.argv[1:])
"""


@pytest.mark.slow
def test_a_process_of_torchrun_with_a_bad_song_lets_the_others_finish(
    stem_folder: Path, tmp_path: Path
) -> None:
    """torchrun ends all processes as soon as one has failed."""
    torch.manual_seed(0)
    config = load_config(VQVAEConfig, PRESETS, "tiny")
    save_checkpoint(
        tmp_path / "codec.safetensors",
        VQVAE(config.model).state_dict(),
        {"stage": "vqvae", "config": asdict(config)},
    )
    for name in ("train/one", "train/two"):
        shutil.copytree(stem_folder / name, tmp_path / "data" / name)
    (tmp_path / "data/train/one/bass.wav").write_bytes(b"")
    (tmp_path / "run.py").write_text(SLOW_EXTRACTION)
    arguments = ("--data", tmp_path / "data", "--codec", tmp_path / "codec.safetensors")
    out = tmp_path / "codes"
    done = run_with_torchrun(
        tmp_path / "run.py", "extract-codes", *arguments, "--device", "cpu", "--out", out
    )
    assert done.returncode != 0
    assert "failed train/one: " in done.stderr
    assert read_manifest(out).files.names == ("valid/two.codes.safetensors",)
