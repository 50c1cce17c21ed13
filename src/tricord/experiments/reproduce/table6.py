"""Table VI: what audio and vision say by themselves."""

from __future__ import annotations

from tricord.experiments.reproduce.plan import Claim, Experiment, Row
from tricord.experiments.reproduce.printed import CMU, ONE_SEED, SIMS, printed

ROWS = (
    Row(
        "Audio",
        "cmc",
        output="audio",
        paper=printed((69.80,), (61.12,), (60.79,), (71.15,)),
    ),
    Row(
        "Vision",
        "cmc",
        output="vision",
        paper=printed((78.56,), (76.31,), (62.10,), (71.02,)),
    ),
    Row("Text", "cmc", output="text", note="not in the paper's table"),
)
_STRONGER = "text features have more capacity than audio and visual ones (footnote 5)"

EXPERIMENT = Experiment(
    name="table6",
    title="Table VI: non-textual modality feature quality assessment",
    presets=(*SIMS, *CMU),
    rows=ROWS,
    claims=tuple(
        Claim("Text", lower, column, presets, _STRONGER)
        for lower in ("Audio", "Vision")
        for column, presets in (("D_test", SIMS), ("Acc2", CMU))
    ),
    caution=(
        f"{ONE_SEED} Ours are the models of stage 1, each on its modality; the paper does not say "
        "how its models of one modality are trained. That OpenFace's features are better than "
        "Facet's compares different clips and languages, and is not tested."
    ),
)
