"""The generative model: its posterior is exact, its levels are what they say."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from tricord.data.simulation.limits import accuracies, limits
from tricord.data.simulation.model import (
    MEANS,
    PRESETS,
    GenerativeModel,
    Statistics,
    ch_sims_joint,
    draw_classes,
    is_diagonal,
    joint_of,
    load_resource,
    reweight,
)
from tricord.data.simulation.speakers import (
    SPEAKER_SHARE,
    TEXT_SPEAKER_SD,
    speaker_and_clip_noise,
)
from tricord.errors import ConfigError
from tricord.types import MODALITIES

DRAWS = 200_000
CLIP = Statistics(
    text=np.array([[1, 0, 3], [0, 1, 0]]),
    audio=np.array([[0.3, -0.2], [-1.5, 2.0]]),
    vision=np.array([[-0.4, 0.9], [4.0, 0.0]]),
)


def model(preset: str = "ch-sims") -> GenerativeModel:
    return GenerativeModel.from_preset(preset, ch_sims_joint())


def drawn(preset: str, words: int, seed: int = 7) -> tuple[np.ndarray, Statistics]:
    rng = np.random.default_rng(seed)
    classes = draw_classes(ch_sims_joint(), DRAWS, rng)
    numbers = np.full(DRAWS, words)
    return classes, model(preset).draw_statistics(classes, np.arange(DRAWS), numbers, rng)


def word_likelihood(counts: np.ndarray, own: int) -> float:
    """p(words | class) with the speaker's bias integrated numerically, from the definition."""
    weight = model().text_weights[counts.sum() - 1]

    def integrand(bias: float) -> float:
        scores = np.exp(weight * ((np.arange(3) == own) + bias * np.array([-1, 0, 1])))
        return float(np.prod((scores / scores.sum()) ** counts)) * norm.pdf(
            bias, scale=TEXT_SPEAKER_SD
        )

    return float(quad(integrand, -8 * TEXT_SPEAKER_SD, 8 * TEXT_SPEAKER_SD, epsabs=1e-12)[0])


def own_likelihoods(row: int) -> dict[str, list[float]]:
    found = {"text": [word_likelihood(CLIP.text[row], u) for u in range(3)]}
    for name in ("audio", "vision"):
        found[name] = [
            multivariate_normal(MEANS[u], model().noise[name] ** 2).pdf(getattr(CLIP, name)[row])
            for u in range(3)
        ]
    return found


@pytest.mark.parametrize("row", [0, 1])
def test_posterior_is_the_sum_over_the_81_cells(row: int) -> None:
    own = own_likelihoods(row)
    mass = np.zeros(3)
    for m, t, a, v in itertools.product(range(3), repeat=4):
        mass[m] += ch_sims_joint()[m, t, a, v] * own["text"][t] * own["audio"][a] * own["vision"][v]
    found = model().posterior(model().likelihoods(CLIP))[row]
    np.testing.assert_allclose(found, mass / mass.sum(), rtol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_unimodal_posterior_is_bayes_rule_for_the_own_class(modality: str) -> None:
    axis = MODALITIES.index(modality) + 1
    given = ch_sims_joint()[2].sum(axis=tuple(i for i in range(3) if i != axis - 1))
    mass = given * own_likelihoods(0)[modality]
    likelihoods = model().likelihoods(CLIP)
    found = model().unimodal_posterior(likelihoods, modality, np.array([2, 0]))
    np.testing.assert_allclose(found[0], mass / mass.sum(), rtol=1e-6)


def test_posterior_of_no_modality_is_the_marginal_of_m() -> None:
    found = model().posterior(model().likelihoods(CLIP), ())
    np.testing.assert_allclose(found, np.tile(ch_sims_joint().sum(axis=(1, 2, 3)), (2, 1)))


def test_posterior_survives_extreme_evidence() -> None:
    far = Statistics(
        text=np.array([[16, 0, 0]]), audio=np.array([[90.0, 9.0]]), vision=np.array([[-90.0, 0.0]])
    )
    found = model().posterior(model().likelihoods(far))
    assert np.isfinite(found).all()
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize("words", [1, 6])
def test_posterior_is_calibrated(words: int) -> None:
    classes, statistics = drawn("ch-sims", words)
    posterior = model().posterior(model().likelihoods(statistics))
    for c in range(3):
        bins = np.digitize(posterior[:, c], np.linspace(0, 1, 11)[1:-1])
        for b in np.unique(bins):
            rows = bins == b
            said, happened = posterior[rows, c].mean(), (classes[rows, 0] == c).mean()
            error = np.sqrt(said * (1 - said) / rows.sum())
            assert abs(said - happened) < 4.5 * error


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("words", [1, 4, 16])
def test_stored_levels_reproduce_the_oracles(preset: str, words: int) -> None:
    found = limits(model(preset), *reversed(drawn(preset, words)))
    for modality, target in PRESETS[preset].items():
        assert found[modality]["D_test"]["pos>neg+neutral"] == pytest.approx(target, abs=0.005)


def test_all_modalities_know_more_than_one() -> None:
    found = limits(model(), *reversed(drawn("ch-sims", 6)))
    best = max(found[k]["D_test"]["pos>neg+neutral"] for k in MODALITIES)
    assert found["all"]["D_test"]["pos>neg+neutral"] > best + 0.03
    assert found["all"]["D_test"]["pos>neg+neutral"] > found["all"]["D_test"]["pos>neg"]
    assert found["all"]["D_msc"]["pos>neg"] > found["all"]["D_msi"]["pos>neg"]


def test_accuracies_by_hand() -> None:
    posterior = np.array([[0.25, 0.25, 0.5], [0.4, 0.2, 0.4], [0.1, 0.6, 0.3], [0.2, 0.1, 0.7]])
    classes = np.array([[2, 2, 2, 2], [2, 2, 2, 2], [1, 1, 1, 0], [0, 0, 2, 0]])
    found = accuracies(posterior, classes)
    # Decided positive: clips 0, 2, 3 by pos>neg (1 is a tie); 3 alone with neutral (0 is a tie).
    assert found["D_test"]["pos>neg"] == 1 / 4
    assert found["D_test"]["pos>neg+neutral"] == 1 / 4
    assert found["D_test"]["three classes"] == 2 / 4
    assert found["D_msc"]["pos>neg"] == 1 / 2
    assert found["D_msc"]["pos>neg+neutral"] == 0
    assert found["D_msi"]["pos>neg"] == 0
    assert found["D_msi"]["pos>neg+neutral"] == 1 / 2
    assert [found[s]["clips"] for s in ("D_test", "D_msc", "D_msi")] == [4, 2, 2]
    assert found["D_test"]["standard_error"] == pytest.approx(0.25)


def test_an_empty_subset_has_no_accuracy() -> None:
    found = accuracies(np.eye(3), np.repeat([[0], [1], [2]], 4, axis=1))
    assert found["D_msi"]["clips"] == 0
    assert found["D_msi"]["pos>neg"] is None
    assert found["D_msi"]["standard_error"] is None


def test_joint_table_is_the_recorded_one(shared: Path) -> None:
    recorded = json.loads((shared / "specs" / "ch-sims-joint-labels.json").read_text())
    packaged = load_resource("ch_sims_joint.json")
    assert packaged["joint"] == recorded["joint"]
    assert packaged["intensity"] == recorded["intensity"]


def test_joint_table_adds_up() -> None:
    joint = ch_sims_joint()
    assert joint.sum() == pytest.approx(1)
    assert joint[2].sum() == pytest.approx(698 / 2281)
    assert joint[~is_diagonal()].sum() == pytest.approx(1156 / 2281)
    intensity = load_resource("ch_sims_joint.json")["intensity"]
    for axis, counts in enumerate(intensity.values()):
        others = tuple(i for i in range(4) if i != axis)
        signs = np.sign([float(v) for v in counts])
        by_class = [np.array([*counts.values()])[signs == s].sum() for s in (-1, 0, 1)]
        np.testing.assert_allclose(joint.sum(axis=others) * 2281, by_class)


@pytest.mark.parametrize("conflict", [0.0, 0.3, 1.0])
def test_reweight_sets_the_share_and_keeps_proportions(conflict: float) -> None:
    joint, found = ch_sims_joint(), reweight(ch_sims_joint(), conflict)
    assert found[~is_diagonal()].sum() == pytest.approx(conflict)
    assert found.sum() == pytest.approx(1)
    for cells in (is_diagonal(), ~is_diagonal()):
        ratio = found[cells & (joint > 0)] / joint[cells & (joint > 0)]
        np.testing.assert_allclose(ratio, ratio[0])


@pytest.mark.parametrize("conflict", [-0.1, 1.1, float("nan")])
def test_reweight_refuses_what_is_no_share(conflict: float) -> None:
    with pytest.raises(ConfigError, match="conflict"):
        reweight(ch_sims_joint(), conflict)


def test_an_unknown_preset_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="no-such"):
        GenerativeModel.from_preset("no-such", ch_sims_joint())


def test_drawn_classes_follow_the_joint_table() -> None:
    classes = draw_classes(ch_sims_joint(), DRAWS, np.random.default_rng(3))
    error = np.sqrt(ch_sims_joint() / DRAWS)
    assert (np.abs(joint_of(classes) - ch_sims_joint()) < 5 * error + 1e-12).all()


def test_speaker_takes_its_share_of_the_variance() -> None:
    videos = np.repeat(np.arange(20_000), 2)
    noise = speaker_and_clip_noise(videos, 2, np.random.default_rng(4))
    assert noise.var() == pytest.approx(1, abs=0.02)
    pairs = noise.reshape(-1, 2, 2)
    assert (pairs[:, 0] * pairs[:, 1]).mean() == pytest.approx(SPEAKER_SHARE, abs=0.02)


def test_text_speaker_tilts_all_clips_of_a_video_alike() -> None:
    rng = np.random.default_rng(6)
    classes = np.ones((40_000, 4), dtype=np.int64)
    videos = np.repeat(np.arange(20_000), 2)
    text = model().draw_statistics(classes, videos, np.full(40_000, 8), rng).text
    tilt = (text[:, 2] - text[:, 0]).reshape(-1, 2)
    assert np.corrcoef(tilt.T)[0, 1] > 0.1


def test_record_makes_the_same_model() -> None:
    again = GenerativeModel.from_record(json.loads(json.dumps(model().record())))
    expected = model().posterior(model().likelihoods(CLIP))
    np.testing.assert_array_equal(again.posterior(again.likelihoods(CLIP)), expected)


def calibration_script() -> ModuleType:
    path = Path(__file__).parents[4] / "scripts" / "calibrate_simulation.py"
    spec = importlib.util.spec_from_file_location("calibrate_simulation", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


@pytest.mark.slow
def test_calibration_makes_the_stored_levels_again() -> None:
    found, stored = calibration_script().calibrate(), load_resource("simulation_levels.json")
    for modality, levels in stored["levels"].items():
        assert found[modality].keys() == levels.keys()
        for level, values in levels.items():
            for key, value in values.items():
                np.testing.assert_allclose(found[modality][level][key], value, atol=2e-6)
