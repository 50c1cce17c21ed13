"""Which data set a file is, and how sure that is."""

from __future__ import annotations

import dataclasses

import pytest

from tricord.data.check.known import KNOWN
from tricord.data.check.recognise import (
    ALMOST,
    CERTAIN,
    LIKELY,
    TOLD,
    UNKNOWN,
    Traits,
    recognise,
    version_of,
)

SIMS = Traits(
    sizes={"train": 1368, "valid": 456, "test": 457},
    shapes={"text": (39, 768), "audio": (400, 33), "vision": (55, 709)},
    videos=("video_0001", "video_0018"),
    bound=1.0,
    language="zh",
)
MOSI = Traits(
    sizes={"train": 1284, "valid": 229, "test": 686},
    shapes={"text": (50, 768), "audio": (375, 5), "vision": (500, 20)},
    videos=("2iD-tVS8NPw", "_dI--eQ6qVU"),
    bound=3.0,
    language="en",
)


def changed(traits: Traits, **changes: object) -> Traits:
    return dataclasses.replace(traits, **changes)  # type: ignore[arg-type]


def test_the_checksum_is_proof() -> None:
    for known in KNOWN.values():
        for sha256, file in known.checksums.items():
            found = recognise(Traits({"train": 1}, {}, (), None, None, sha256))
            assert (found.known, found.certainty, found.checksum) == (known, CERTAIN, file)


@pytest.mark.parametrize(("traits", "name"), [(SIMS, "ch-sims"), (MOSI, "mosi")])
def test_sizes_and_shapes_are_almost_proof(traits: Traits, name: str) -> None:
    found = recognise(traits)
    assert found.known is KNOWN[name]
    assert found.certainty == ALMOST
    assert found.version == "Table I"


def test_sims_v2_and_mosei() -> None:
    v2 = changed(
        SIMS,
        sizes={"train": 2721, "valid": 647, "test": 1034},
        shapes={"audio": (925, 25), "vision": (232, 177)},
        videos=(),
    )
    found = recognise(v2)
    assert found.known is KNOWN["ch-sims-v2"]
    assert found.version is not None
    assert "2,721" in found.version
    mosei = changed(
        MOSI,
        sizes={"train": 16326, "valid": 1871, "test": 4659},
        shapes={"audio": (50, 74), "vision": (50, 35)},
    )
    assert recognise(mosei).known is KNOWN["mosei"]


def test_features_with_lost_clips_are_likely() -> None:
    found = recognise(changed(SIMS, sizes={"train": 1360, "valid": 456, "test": 457}))
    assert found.known is KNOWN["ch-sims"]
    assert found.certainty == LIKELY
    assert found.version is None


def test_ids_range_and_language_alone_are_not_enough() -> None:
    found = recognise(changed(MOSI, sizes={"train": 132}, shapes={}))
    assert found.known is None
    assert found.certainty == UNKNOWN
    assert "CMU-MOSI" in found.why[0]


def test_nothing_in_common() -> None:
    found = recognise(Traits({"train": 5}, {"text": (3, 2)}, ("a",), 9.0, None))
    assert found.known is None


def test_what_is_told_counts() -> None:
    found = recognise(MOSI, told="mosei")
    assert found.known is KNOWN["mosei"]
    assert found.certainty == TOLD
    assert found.version is None


def test_the_whole_of_an_undivided_source() -> None:
    assert version_of(KNOWN["ch-sims"], {"all": 2281}) == "Table I"
    assert version_of(KNOWN["ch-sims"], {"test": 457}) == "Table I"
    assert version_of(KNOWN["ch-sims"], {"all": 2280}) is None
    assert version_of(KNOWN["ch-sims"], {}) is None


def test_the_tables_agree_with_themselves() -> None:
    totals = {name: sum(known.paper_sizes) for name, known in KNOWN.items()}
    assert totals == {"ch-sims": 2281, "ch-sims-v2": 4403, "mosi": 2199, "mosei": 22856}
    for known in KNOWN.values():
        for pairs in (known.subsets, known.circulating):
            sizes = dict(zip(("train", "valid", "test"), known.paper_sizes, strict=True))
            assert all(sum(pair) == sizes[split] for split, pair in pairs.items())
