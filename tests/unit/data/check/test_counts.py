"""D_msc and D_msi beside the paper's, balance, drift; sizes, shapes and checksums of known sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import checked_data
from checked_data import everywhere, found, with_scores
from tricord.data.check import KNOWN, Severity, check, known
from tricord.data.check.known import Pair
from tricord.data.readers.mmsa import read_mmsa, write_mmsa
from tricord.data.schema import UNSPLIT, Dataset, FeatureTable, Ragged


def labelled(name: str, msc: int, msi: int) -> FeatureTable:
    """A split without features with these counts; half of the clips are negative."""
    rows = msc + msi
    scores = np.full((rows, 4), 0.4)
    scores[::2] *= -1
    scores[msc:, 2] *= -1
    nothing = Ragged(np.zeros((0, 0), np.float32), np.zeros(rows + 1, dtype=np.int64), 0)
    return FeatureTable(
        name=name,
        ids=tuple(f"{name}v{i}$_$1" for i in range(rows)),
        sequences=dict.fromkeys(("text", "audio", "vision"), nothing),
        scores=scores,
    )


def with_subsets(pairs: Mapping[str, Pair]) -> Dataset:
    return Dataset({n: labelled(n, *pair) for n, pair in pairs.items()}, source="label.csv")


def test_the_papers_counts_are_silent() -> None:
    assert "subsets" not in found(with_subsets(KNOWN["ch-sims"].subsets), known="ch-sims")
    assert "subsets" not in found(with_subsets(KNOWN["ch-sims-v2"].subsets), known="ch-sims-v2")


@pytest.mark.parametrize("train", [(1415, 1307), (1414, 1307), (1415, 1306)])
def test_the_annotations_in_circulation_are_not_called_broken(train: Pair) -> None:
    dataset = with_subsets({"train": train, "valid": (325, 322), "test": (625, 409)})
    report = check(dataset, known="ch-sims-v2")
    finding = next(f for f in report.findings if f.rule == "subsets")
    assert finding.severity is Severity.NOTE
    for both in (f"train {train[0]}/{train[1]} (Table I 1476/1246)", "625/409 (Table I 487/547)"):
        assert both in finding.found
    assert "not broken" in finding.means
    assert "data.md" in finding.do
    assert not report.has_errors
    test = report.counts["splits"]["test"]
    assert test["subsets"] == {"D_test": 1034, "D_msc": 625, "D_msi": 409}
    assert test["paper_subsets"] == {"D_msc": 487, "D_msi": 547}
    assert test["circulating_subsets"] == {"D_msc": 625, "D_msi": 409}


def test_other_counts_are_a_warning() -> None:
    pairs = {"train": (669, 699), "valid": (217, 239), "test": (240, 217)}
    finding = found(with_subsets(pairs), known="ch-sims")["subsets"]
    assert finding.severity is Severity.WARNING
    assert finding.where.splits == ("test",)
    finding = found(with_subsets({"test": (624, 410)}), known="ch-sims-v2")["subsets"]
    assert finding.severity is Severity.WARNING


def test_split_sizes_that_differ() -> None:
    pairs = {"train": (669, 697), "valid": (217, 239), "test": (239, 219)}
    finding = found(with_subsets(pairs), known="ch-sims")["split-sizes"]
    assert finding.severity is Severity.WARNING
    assert "train 1366 (-2), test 458 (+1)" in finding.found
    assert "split-sizes" not in found(with_subsets(KNOWN["ch-sims"].subsets), known="ch-sims")


def test_one_clip_less_in_v2_is_a_version() -> None:
    dataset = with_subsets({"train": (1415, 1306), "valid": (325, 322), "test": (625, 409)})
    rules = found(dataset, known="ch-sims-v2")
    assert "split-sizes" not in rules
    assert rules["partition"].severity is Severity.NOTE
    assert "2,721" in rules["partition"].found


def test_an_undivided_source_of_the_right_size_is_silent() -> None:
    dataset = with_subsets({UNSPLIT: (1125, 1156)})
    assert not set(found(dataset, known="ch-sims")) & {"partition", "split-sizes"}


def test_balance() -> None:
    clean = checked_data.clean()

    def lean(rows: np.ndarray) -> None:
        rows[: int(0.9 * len(rows)), 0] = 1.0

    heavy = found(everywhere(clean, lambda t: with_scores(t, lean)))["balance"]
    assert heavy.severity is Severity.WARNING
    assert "positive" in heavy.found

    one = everywhere(clean, lambda t: with_scores(t, lambda s: s.__setitem__((..., 0), 1.0)))
    severities = {f.where.splits: f.severity for f in check(one).findings if f.rule == "balance"}
    assert severities[("train",)] is Severity.ERROR
    assert severities[("test",)] is Severity.WARNING


def test_drift() -> None:
    clean = checked_data.clean()
    test = with_scores(clean.splits["test"], lambda s: s.__setitem__((slice(90), 0), 0.6))
    rules = found(Dataset({**clean.splits, "test": test}, source="x"))
    assert rules["drift"].severity is Severity.NOTE
    assert "negative/neutral/positive" in rules["drift"].found


def shaped(audio: tuple[int, int]) -> dict[str, object]:
    """Findings on a data set told to be CMU-MOSI whose audio has this length and width."""
    clean = checked_data.clean()

    def change(table: FeatureTable) -> FeatureTable:
        old = table.sequences["audio"]
        rng = np.random.default_rng(len(table))
        values = rng.standard_normal((len(old.values), audio[1])).astype(np.float32)
        sequences = {**table.sequences, "audio": Ragged(values, old.offsets, audio[0])}
        return replace(table, sequences=sequences)

    report = check(everywhere(clean, change), known="mosi")
    return {str(f.where.modality): f for f in report.findings if f.rule == "shape"}


def test_shapes_of_table_ii_are_silent_and_others_explained() -> None:
    assert "audio" not in shaped((375, 5))
    assert "configuration" in shaped((500, 5))["audio"].found  # type: ignore[attr-defined]
    assert "COVAREP" in shaped((400, 74))["audio"].means  # type: ignore[attr-defined]
    assert "another length" in shaped((300, 5))["audio"].means  # type: ignore[attr-defined]


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    rows = 4
    split = {
        "id": [f"a$_${i}" for i in range(rows)],
        "audio": np.arange(rows * 6, dtype=np.float32).reshape(rows, 3, 2) + 1,
        "audio_lengths": [3] * rows,
        "regression_labels": [-1.0, 0.0, 0.6, 1.0],
    }
    path = tmp_path / "x.pkl"
    write_mmsa(path, {"train": split})
    return path


def test_a_published_checksum_is_recognised(
    one_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = read_mmsa(one_file)
    plain = check(dataset, path=one_file)
    assert plain.recognised["name"] is None
    sha256 = plain.sha256
    assert sha256 is not None
    told = check(dataset, path=one_file, known="mosei")
    assert next(f for f in told.findings if f.rule == "checksum").severity is Severity.NOTE

    ours = replace(KNOWN["mosi"], checksums={sha256: "MOSI/ours.pkl"})
    monkeypatch.setitem(known.KNOWN, "mosi", ours)
    report = check(dataset, path=one_file)
    assert report.recognised["certainty"] == "certain"
    assert report.recognised["published_file"] == "MOSI/ours.pkl"
    assert "checksum" not in {f.rule for f in report.findings}
    wrong = check(dataset, path=one_file, known="mosei")
    finding = next(f for f in wrong.findings if f.rule == "checksum")
    assert finding.severity is Severity.WARNING
    assert "--as mosi" in finding.do


def test_a_label_table_has_no_published_checksum(tmp_path: Path) -> None:
    path = tmp_path / "label.csv"
    path.write_text("x")
    rules = found(with_subsets(KNOWN["ch-sims"].subsets), known="ch-sims", path=path)
    assert "checksum" not in rules


def test_a_simulation_is_no_known_data_set() -> None:
    dataset = replace(with_subsets(KNOWN["ch-sims"].subsets), simulation={"about": "SIMULATED"})
    report = check(dataset)
    assert report.recognised["name"] is None
    assert "simulated" in {f.rule for f in report.findings}
    assert "simulated" not in found(with_subsets(KNOWN["ch-sims"].subsets))
