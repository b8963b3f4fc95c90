"""Which devices compute bf16 fast."""

import pytest
import torch

from shared.device import computes_bf16_fast


@pytest.mark.parametrize("supported", [True, False])
def test_a_cpu_is_asked_for_its_instructions(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: supported)
    assert computes_bf16_fast(torch.device("cpu")) is supported


def test_a_build_without_onednn_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", raising=False)
    assert not computes_bf16_fast(torch.device("cpu"))


@pytest.mark.parametrize("supported", [True, False])
def test_a_gpu_that_only_imitates_bf16_is_slow(
    supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def supports(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return supported

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supports)
    assert computes_bf16_fast(torch.device("cuda")) is supported
    assert asked == [False]
