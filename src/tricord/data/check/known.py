"""The data sets of the field as they are in circulation.

Sizes and subsets: Table I of the paper; widths and lengths: Table II; checksums: the publishers of
the MMSA files (format section 3.1), as are the stale numbers of their configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Shape = tuple[int, int]  # padded length, width
Pair = tuple[int, int]  # clips in D_msc, in D_msi


@dataclass(frozen=True)
class Known:
    """One data set.

    splits: per version of the partition the clips in train, valid, test; the paper's first.
    subsets: per split the clips in D_msc and D_msi of Table I; circulating: those that footnote
        3 gives on the annotations in circulation, where they differ.
    shapes: per modality (padded length, width) of every variant and its name; Table II's first.
    bound: scores lie in [-bound, bound]; grid: their step. checksums: SHA-256 -> file.
    modality_labels: whether T, A and V have labels of their own.
    shares_videos: whether the official splits share videos.
    """

    name: str
    title: str
    language: str
    bound: float
    id_pattern: str
    splits: Mapping[str, tuple[int, int, int]]
    shapes: Mapping[str, Mapping[Shape, str]]
    subsets: Mapping[str, Pair] = field(default_factory=dict)
    circulating: Mapping[str, Pair] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    grid: float | None = None
    modality_labels: bool = False
    shares_videos: bool = False

    @property
    def paper_sizes(self) -> tuple[int, int, int]:
        """Train, valid and test of Table I."""
        return next(iter(self.splits.values()))


_TABLE = "Table II"
_ALIGNED = "the aligned file"
_STALE = "MMSA's configuration, not its files"
_YOUTUBE = r"[-\w]{11}"

KNOWN: dict[str, Known] = {
    known.name: known
    for known in (
        Known(
            name="ch-sims",
            title="CH-SIMS",
            language="zh",
            bound=1.0,
            grid=0.2,
            id_pattern=r"video_\d{4}",
            splits={"Table I": (1368, 456, 457)},
            subsets={"train": (669, 699), "valid": (217, 239), "test": (239, 218)},
            shapes={
                "text": {(39, 768): _TABLE},
                "audio": {(400, 33): _TABLE},
                "vision": {(55, 709): _TABLE},
            },
            checksums={
                "c9e20c13ec0454d98bb9c1e520e490c75146bfa2dfeeea78d84de047dbdd442f": (
                    "SIMS/Processed/unaligned_39.pkl"
                )
            },
            modality_labels=True,
            shares_videos=True,
        ),
        Known(
            name="ch-sims-v2",
            title="CH-SIMS v2 (supervised)",
            language="zh",
            bound=1.0,
            grid=0.2,
            id_pattern=r"(?!video_)[a-z]+\d*_\d{4,}",
            splits={
                "Table I, meta.csv": (2722, 647, 1034),
                "the version with 2,721 clips in train": (2721, 647, 1034),
            },
            subsets={"train": (1476, 1246), "valid": (339, 308), "test": (487, 547)},
            circulating={"train": (1415, 1307), "valid": (325, 322), "test": (625, 409)},
            shapes={
                "text": {(50, 768): _TABLE, (39, 768): _STALE},
                "audio": {(925, 25): _TABLE, (400, 33): _STALE},
                "vision": {
                    (232, 177): _TABLE,
                    (232, 171): "the variant without head pose",
                    (55, 709): _STALE,
                },
            },
            modality_labels=True,
        ),
        Known(
            name="mosi",
            title="CMU-MOSI",
            language="en",
            bound=3.0,
            id_pattern=_YOUTUBE,
            splits={
                "Table I": (1284, 229, 686),
                "the older utterance-level partition": (1221, 226, 752),
            },
            shapes={
                "text": {
                    (50, 768): _TABLE,
                    (50, 300): "GloVe words",
                    (1, 100): "the older utterance-level version",
                },
                "audio": {
                    (375, 5): _TABLE,
                    (500, 5): _STALE,
                    (50, 5): _ALIGNED,
                    (50, 74): "the aligned file, all COVAREP columns",
                    (1, 73): "the older utterance-level version",
                },
                "vision": {
                    (500, 20): _TABLE,
                    (375, 20): _STALE,
                    (50, 20): _ALIGNED,
                    (50, 47): "the aligned file, all Facet columns",
                    (1, 100): "the older utterance-level version",
                },
            },
            checksums={
                "78e0f8b5ef8ff71558e7307848fc1fa929ecb078203f565ab22b9daab2e02524": (
                    "MOSI/Processed/unaligned_50.pkl"
                ),
                "d3994fd25681f9c7ad6e9c6596a6fe9b4beb85ff7d478ba978b124139002e5f9": (
                    "MOSI/Processed/aligned_50.pkl"
                ),
            },
        ),
        Known(
            name="mosei",
            title="CMU-MOSEI",
            language="en",
            bound=3.0,
            id_pattern=rf"(?:{_YOUTUBE}|\d+)",
            splits={"Table I": (16326, 1871, 4659)},
            shapes={
                "text": {(50, 768): _TABLE, (50, 300): "GloVe words"},
                "audio": {(500, 74): _TABLE, (50, 74): _ALIGNED},
                "vision": {(500, 35): _TABLE, (50, 35): _ALIGNED},
            },
            checksums={
                "ad8b23d50557045e7d47959ce6c5b955d8d983f2979c7d9b7b9226f6dd6fec1f": (
                    "MOSEI/Processed/unaligned_50.pkl"
                ),
                "45eccfb748a87c80ecab9bfac29582e7b1466bf6605ff29d3b338a75120bf791": (
                    "MOSEI/Processed/aligned_50.pkl"
                ),
            },
        ),
    )
}

RECIPES: dict[tuple[str, int], str] = {
    ("text", 768): "BERT-base states",
    ("text", 300): "GloVe words",
    ("audio", 33): "LibROSA: zero-crossing rate, 20 MFCC, 12 CQT chroma; column 0 is called log F0 "
    "in the papers",
    ("audio", 25): "openSMILE eGeMAPSv02 low-level descriptors",
    ("audio", 70): "the extraction toolkit's default LibROSA set",
    ("audio", 74): "COVAREP",
    ("audio", 5): "COVAREP columns 1, 3, 6, 25, 60",
    ("vision", 709): "OpenFace, all columns after the first five: landmarks in pixels among them",
    ("vision", 177): "OpenFace: 136 landmark coordinates in pixels, 6 of pose, 35 action units",
    ("vision", 171): "OpenFace: 136 landmark coordinates in pixels, 35 action units",
    ("vision", 35): "Facet 4.2",
    ("vision", 47): "Facet, all columns",
    ("vision", 20): "20 selected Facet columns",
    ("vision", 1404): "MediaPipe face mesh, 468 points",
    ("vision", 1434): "MediaPipe face mesh, 478 points",
}
