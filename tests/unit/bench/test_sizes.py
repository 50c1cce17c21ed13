"""What is measured on has the clips, widths and lengths that it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tricord import presets
from tricord.bench.sizes import SIZES, simulate, size_of
from tricord.errors import ConfigError

# Tables I and II: clips of train, valid, test; longest and width of text, audio, vision
PUBLISHED = {
    "ch-sims": ((1368, 456, 457), (39, 768), (400, 33), (55, 709)),
    "ch-sims-v2": ((2722, 647, 1034), (50, 768), (925, 25), (232, 177)),
    "mosi": ((1284, 229, 686), (50, 768), (375, 5), (500, 20)),
    "mosei": ((16326, 1871, 4659), (50, 768), (500, 74), (500, 35)),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_those_of_the_tables(name: str) -> None:
    clips, *shapes = PUBLISHED[name]
    size = size_of(name)
    assert tuple(size.clips.values()) == clips
    assert [(c.most, c.width) for c in size.channels.values()] == shapes
    assert size.bert().hidden_size == 768
    assert size.preset in presets.PRESETS


def test_lengths_are_realistic_at_ch_sims_and_tokens_are_the_texts() -> None:
    size = SIZES["ch-sims"]
    narrow = replace(size, channels={k: replace(c, width=1) for k, c in size.channels.items()})
    table = simulate(narrow)["train"]
    means = {name: float(lengths.mean()) for name, lengths in table.lengths.items()}
    assert means == pytest.approx({"text": 15, "audio": 158, "vision": 22}, rel=0.05)
    together = np.corrcoef(table.lengths["audio"], table.lengths["vision"])[0, 1]
    assert together > 0.9
    assert table.tokens is not None
    assert np.array_equal(table.tokens.lengths, table.lengths["text"])
    assert table.tokens.values.max() < size.bert().vocab_size


def test_one_frame_each() -> None:
    table = simulate(replace(SIZES["tiny"].of_one_frame(), clips={"test": 5}))["test"]
    assert [lengths.tolist() for lengths in table.lengths.values()] == [[1] * 5] * 3


def test_an_unknown_size_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="ch-sims-v2"):
        size_of("big")
