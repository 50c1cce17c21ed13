"""Names of devices."""

from __future__ import annotations

import pytest
import torch

from tricord.device import device_of
from tricord.errors import ConfigError


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two accelerators of one kind."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.mark.usefixtures("two_cards")
def test_accelerators_that_are_there() -> None:
    for name, found in (("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu:0", "cpu")):
        assert device_of(name) == torch.device(found)
    with pytest.raises(ConfigError, match=r"'cuda:2' is not on this machine.*cpu, cuda, auto"):
        device_of("cuda:2")


@pytest.mark.usefixtures("no_card")
def test_without_an_accelerator_there_is_the_processor() -> None:
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"'mps' is not on this machine.*there is cpu, auto"):
        device_of("mps")
    with pytest.raises(ConfigError, match="'gpu' found, one of cpu, auto expected"):
        device_of("gpu")
