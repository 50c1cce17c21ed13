from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fake_extractors import all_three, recipe_of
from tricord.clips.clip import ClipFeatures
from tricord.clips.dataset import SPEAKERS, dataset_of
from tricord.clips.recipe import from_recipe
from tricord.data.admit import admit
from tricord.data.readers.label_table import LabelTable
from tricord.data.store import read_store, write_store
from tricord.errors import DataError
from tricord.track import Track

RECIPE = recipe_of(all_three())
COLUMNS = {name: tuple(part.description["columns"]) for name, part in RECIPE.parts.items()}


def clip(name: str, lengths: Mapping[str, int], value: float = 0, *notices: str) -> ClipFeatures:
    """Tracks of these lengths, full of the value."""
    tracks = {
        kind: Track(
            np.full((lengths.get(kind, 0), len(columns)), value, dtype=np.float32),
            np.arange(lengths.get(kind, 0), dtype=np.float64),
            columns,
        )
        for kind, columns in COLUMNS.items()
    }
    return ClipFeatures(name, tracks, f"{name} speaks", 1.0, notices=notices)


def table(**columns: tuple[str, ...]) -> LabelTable:
    """Four clips: v$_$1 to v$_$4, of which the scores are 1 to 4, 10 to 40, ..."""
    scores = np.arange(1.0, 5)[:, None] * 10.0 ** np.arange(4)
    found = LabelTable("label.csv", ("v",) * 4, ("1", "2", "3", "4"), scores, lines=(2, 3, 4, 5))
    return LabelTable(**{**found.__dict__, **columns})


CLIPS = [
    clip("v$_$3", {"audio": 3}, 3, "text: no words"),
    clip("v$_$1", {"text": 1, "audio": 2}, 1),
    clip("v$_$2", {"text": 2}, 2, "audio: no audio track"),
]


def test_rows_are_in_order_of_their_ids_with_their_labels() -> None:
    data = dataset_of(CLIPS, RECIPE, table(modes=("train", "test", "train", "test")))
    assert list(data.splits) == ["train", "test"]
    train = data["train"]
    assert train.ids == ("v$_$1", "v$_$3")
    assert data["test"].ids == ("v$_$2",)  # the fourth was not measured
    assert train.lengths["audio"].tolist() == [2, 3]
    assert train.sequences["audio"].values[:, 0].tolist() == [1, 1, 3, 3, 3]
    assert train.raw_text == ("v$_$1 speaks", "v$_$3 speaks")


def test_a_modality_that_no_clip_has_is_left_out_and_its_labels_with_it() -> None:
    data = dataset_of(CLIPS, RECIPE, table())
    assert data.modalities == ("text", "audio")
    assert data["all"].scores.tolist() == [[1, 10, 100], [2, 20, 200], [3, 30, 300]]
    assert "vision: no clip has it, left out" in data.notices


def test_it_is_kept_for_a_model_that_knows_it() -> None:
    data = dataset_of(CLIPS, RECIPE, keep_absent=True)
    assert data.widths == {"text": 1, "audio": 1, "vision": 2}
    assert data["all"].lengths["vision"].tolist() == [0, 0, 0]


def test_clips_without_labels_are_one_split() -> None:
    data = dataset_of(CLIPS[:1], RECIPE, source="clip.mp4")
    assert (data["all"].ids, data.modalities) == (("v$_$3",), ("audio",))
    assert np.isnan(data["all"].scores).all()


def test_words_stay_beside_their_clips() -> None:
    data = dataset_of(CLIPS, RECIPE, table(words=("calm", "angry", "sad", "calm")))
    assert data["all"].label_names == ("calm", "angry", "sad")


def test_alike_notices_are_said_once() -> None:
    clips = [
        clip("b", {"audio": 1}, 0, "audio: parts could not be decoded (3 packets)"),
        clip("a", {"audio": 1}, 0, "audio: parts could not be decoded (1 packets)", "text: none"),
    ]
    assert dataset_of(clips, RECIPE).notices[-2:] == (
        "audio: parts could not be decoded: 2 clips, such as 'a'",
        "text: none: 1 clip, such as 'a'",
    )


def test_the_recipe_and_the_speakers_go_with_it() -> None:
    data = dataset_of(CLIPS, RECIPE, speakers={c.id: "anna" for c in CLIPS} | {"x": "y"})
    assert from_recipe(data.recipe) == RECIPE
    assert data.recipe[SPEAKERS] == {"v$_$1": "anna", "v$_$2": "anna", "v$_$3": "anna"}


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        ([], "no clip was measured"),
        ([CLIPS[0], CLIPS[0]], r"clip 'v\$_\$3' found twice"),
        ([clip("v$_$9", {"audio": 1})], r"label.csv: clip 'v\$_\$9' not found"),
        ([clip("v$_$1", {})], "nothing was measured"),
    ],
)
def test_what_is_no_data_set_is_refused(clips: list[ClipFeatures], said: str) -> None:
    with pytest.raises(DataError, match=said):
        dataset_of(clips, RECIPE, table())


def test_a_lazy_one_writes_the_same_store(tmp_path: Path) -> None:
    for lazy in (False, True):
        data = dataset_of(CLIPS, RECIPE, table(), lazy=lazy)
        write_store(admit(data, lazy=lazy), tmp_path / f"{lazy}.tricord")
    one, other = (read_store(tmp_path / f"{lazy}.tricord", verify=True) for lazy in (False, True))
    assert one.fingerprint() == other.fingerprint()
    assert one.notices == other.notices
    assert from_recipe(one.recipe) == RECIPE
