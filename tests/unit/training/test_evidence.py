"""The scales of `EvidenceSum` against what they were made from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

import tiny_data
from builders import NO_DROPOUT
from tricord.data.batching import Loader, TensorTable
from tricord.models.cmc import CMC
from tricord.nn.router import EvidenceSum
from tricord.training.evidence import fit_evidence
from tricord.training.finetune import FinetuneStage

N = 3000


def witnesses(trust: list[float], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, K, 2) votes and (N,) labels that follow the votes' sum by these scales."""
    rng = np.random.default_rng(seed)
    votes = rng.normal(0, 1.5, (N, len(trust), 2))
    p = softmax(np.einsum("k,nkc->nc", trust, votes), axis=1)
    labels = (rng.random(N) < p[:, 1]).astype(np.int64)
    return torch.as_tensor(votes), torch.as_tensor(labels)


def test_scales_are_found_and_a_useless_vote_gets_none() -> None:
    votes, labels = witnesses([1.2, 0.4, 0.0])
    evidence = EvidenceSum(3, 2)
    fit_evidence(evidence, lambda _: votes, torch.ones(N, 3, dtype=torch.bool), labels)
    assert evidence.scale[7].tolist() == pytest.approx([1.2, 0.4, 0], abs=0.1)
    assert (evidence.scale >= 0).all()
    assert evidence.scale[1].tolist()[1:] == [0, 0]  # the first alone
    assert evidence.scale[1, 0] < 1.2  # it says less of the label than it would beside the others


def test_every_subset_is_fitted_to_the_clips_that_have_it() -> None:
    votes, labels = witnesses([1.0, 1.0])
    present = torch.ones(N, 2, dtype=torch.bool)
    present[: N // 2, 1] = False
    labels[: N // 2] = 1 - labels[: N // 2]  # clips without the second lie about the first
    evidence = EvidenceSum(2, 2)
    fit_evidence(evidence, lambda _: votes, present, labels)
    assert evidence.scale[3].tolist() == pytest.approx([1, 1], abs=0.15)
    assert evidence.scale[1, 0] < 0.2


def test_unknown_labels_and_missing_subsets_change_nothing() -> None:
    votes, labels = witnesses([1.0, 1.0])
    evidence, before = EvidenceSum(2, 2), EvidenceSum(2, 2)
    fit_evidence(
        evidence, lambda _: votes, torch.ones(N, 2, dtype=torch.bool), torch.full((N,), -1)
    )
    assert torch.equal(evidence.scale, before.scale)
    present = torch.zeros(N, 2, dtype=torch.bool)
    present[:, 0] = True
    fit_evidence(evidence, lambda _: votes, present, labels)
    assert torch.equal(evidence.scale[2:], before.scale[2:])
    assert not torch.equal(evidence.scale[1], before.scale[1])


def test_few_clips_stay_near_the_mean() -> None:
    votes, labels = witnesses([1.0, 1.0])
    evidence = EvidenceSum(2, 2)
    one = torch.ones(1, 2, dtype=torch.bool)
    fit_evidence(evidence, lambda _: votes[:1], one, labels[:1])
    assert evidence.scale[3].tolist() == pytest.approx([0.5, 0.5], abs=0.5)
    assert evidence.shift[3].abs().max() < 1


# ------------------------------------------------------------------------------------- in stage 2


@pytest.fixture
def stage() -> FinetuneStage:
    """All of valid in one batch, so that means of batches are means of clips."""
    config = tiny_data.config({**NO_DROPOUT, "finetune.router": "evidence"})
    torch.manual_seed(3)
    model = CMC.from_config(config, tiny_data.WIDTHS)
    train, valid = (TensorTable(tiny_data.table(n, 20), config.labels) for n in ("train", "valid"))
    return FinetuneStage(model, Loader(train, 20), Loader(valid, 20), config)


def test_the_whole_loss_has_this_epochs_scales_too(stage: FinetuneStage) -> None:
    found = dict(stage.end_epoch(1).metrics)
    found.pop("valid_accuracy")
    assert found.pop("valid_loss") == pytest.approx(sum(found.values()), rel=1e-5)


def test_a_subsets_row_is_fitted_to_votes_without_the_rest(stage: FinetuneStage) -> None:
    """PFM mixes what is there into every vote."""
    stage.end_epoch(1)
    fitted, model = stage.model.evidence, stage.model.eval()
    assert fitted is not None
    (batch,) = stage.valid.epoch()
    two = batch.present & torch.tensor([True, True, False])
    with torch.no_grad():
        whole, alone = (
            model(replace(batch, present=there)).votes for there in (batch.present, two)
        )
    assert not torch.allclose(whole[:, :2], alone[:, :2], atol=1e-3)
    expected = EvidenceSum(3, 3)
    fit_evidence(expected, lambda _: alone, two, batch.label)
    torch.testing.assert_close(fitted.scale[3], expected.scale[3])
    torch.testing.assert_close(fitted.shift[3], expected.shift[3])
