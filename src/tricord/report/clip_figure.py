"""The time line of one clip: pictures, waveform, words, and what the decision hangs on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tricord.errors import ConfigError
from tricord.files import write_atomically
from tricord.inference.occlusion import Evidence, Occlusion
from tricord.inference.predictor import Predictions
from tricord.report.clip_material import Material
from tricord.report.figures import BLUE, GREY, INK, ORANGE, SETTINGS, families, in_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
KINDS = (".png", ".svg", ".pdf")
WIDTH = 10.0  # inches
_CLASSES = 4  # whose probabilities are in the title; of more the likeliest
_LETTER = 0.075  # inches that a letter of 8 points takes
_TALL = 0.8  # inches of a picture
_ACROSS = 0.93  # of the figure's width, what an axis takes
_TALLEST = 9.0  # letters of a word on end
_LEAST = 0.05  # of the axis of evidence, so that a decision that hangs on nothing looks flat


@dataclass(frozen=True)
class Subject:
    """What is drawn. name: of the clip. predictions: of it alone. notices: what is missing, why.

    calibrated: on what the probabilities stand, in lines: the first is beside them.
    """

    name: str
    predictions: Predictions
    occlusion: Occlusion
    material: Material
    calibrated: Sequence[str]
    notices: Sequence[str] = ()


def check_place(path: Path) -> None:
    """Raise ConfigError where the name does not say which kind of figure is wanted."""
    if path.suffix.lower() not in KINDS:
        raise ConfigError(f"--plot {path}: a name ending in {', '.join(KINDS)} expected")


def draw_clip(path: Path, subject: Subject) -> None:
    """Write the figure; its kind is what the suffix says."""
    check_place(path)
    panels = list(_panels(subject))
    height = 1.25 + sum(size for size, _ in panels)

    def draw(figure: Figure) -> None:
        figure.suptitle(_title(subject), x=0.01, ha="left", fontsize=11)
        figure.supxlabel(_caption(subject), x=0.01, ha="left", fontsize=8, color=INK)
        axes = figure.subplots(
            len(panels), 1, squeeze=False, height_ratios=[size for size, _ in panels]
        )[:, 0]
        for place, (_, panel) in zip(axes, panels, strict=True):
            panel(place)
        _legend(figure)

    save(path, (WIDTH, height), draw)


def save(path: Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> None:
    """What ``draw`` makes of an empty figure of so many inches, as the path's suffix says."""
    import matplotlib
    from matplotlib.figure import Figure

    kind = path.suffix.lower().removeprefix(".")
    own = {"svg.hashsalt": path.name, "font.family": families(), "pdf.fonttype": 42}
    settings: Any = {**SETTINGS, **in_colour(INK), **own}
    # without the time of day the same drawing has the same bytes
    metadata: dict[str, None] = {
        "png": {"Software": None},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }[kind]
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        figure = Figure(figsize=size, layout="constrained", dpi=150)
        draw(figure)
        write_atomically(path, lambda p: figure.savefig(p, format=kind, metadata=metadata))


Panel = tuple[float, "Callable[[Axes], None]"]  # inches high, and what draws it


def _panels(subject: Subject) -> list[Panel]:
    """What shares the time axis first, then words whose times are not known."""
    material, panels = subject.material, list[Panel]()
    limit = _limit(subject.occlusion)
    if material.pictures:
        panels.append((0.45 + _tall(material), lambda axes: _strip(axes, subject)))
    if material.low is not None:
        panels.append((0.75, lambda axes: _wave(axes, subject)))
    windows = [e for e in subject.occlusion.evidence if not e.words]
    words = [e for e in subject.occlusion.evidence if e.words]
    panels += [(1.0, _bind(_windows, subject, e, limit)) for e in windows]
    panels += [(1.0 + _LETTER * _turned(e), _bind(_words, subject, e, limit)) for e in words]
    return panels or [(0.3, lambda axes: axes.set_axis_off())]


def _bind(
    draw: Callable[[Axes, Subject, Evidence, float], None],
    subject: Subject,
    evidence: Evidence,
    limit: float,
) -> Callable[[Axes], None]:
    return lambda axes: draw(axes, subject, evidence, limit)


def _title(subject: Subject) -> str:
    found = subject.predictions
    label = found.scheme.classes[int(found.classes(found.outputs)[0])]
    if found.scheme.head == "regression":
        return f"{subject.name}: {label}, score {found.outputs[0, 0]:.2f}"
    chances = found.probabilities[0]
    order = range(len(chances)) if len(chances) <= _CLASSES else np.argsort(-chances)[:_CLASSES]
    shares = (f"{found.scheme.classes[k]} {chances[k]:.2f}" for k in order)
    conflict = ""
    if found.modalities:
        votes = "the votes differ" if found.conflict[0] else "the votes agree"
        conflict = f"; {votes}"
    return f"{subject.name}: {label}{conflict}\n{', '.join(shares)} ({subject.calibrated[0]})"


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    keys = [
        Patch(color=BLUE, label="speaks for the decision"),
        Patch(color=ORANGE, label="speaks against it"),
    ]
    figure.legend(handles=keys, loc="upper right", ncols=2, handlelength=1, borderaxespad=0.8)


def _caption(subject: Subject) -> str:
    value = subject.occlusion.value
    lines = [
        f"Evidence by occlusion: how much of the {value} is lost without a part"
        f" ({subject.occlusion.seconds:.2g} s, or words). Up: it spoke for the decision; down:"
        " against.",
        "It shows what the model relies on, not what is true of the person.",
        *(f"Not used: {notice}" for notice in subject.notices[:3]),
        *(f"Probabilities {line}" for line in subject.calibrated[1:]),
    ]
    return "\n".join(lines)


def _about(subject: Subject, evidence: Evidence) -> str:
    """The modality with its vote and weight, where there are such, and what all of it does."""
    found, modality = subject.predictions, evidence.modality
    whole = f"all of it: {evidence.whole:+.2f}" if np.isfinite(evidence.whole) else ""
    if modality not in found.modalities:
        return f"{modality}: {whole}" if whole else modality
    k = found.modalities.index(modality)
    vote = int(found.classes(found.votes)[0, k])
    said = found.scheme.classes[vote]
    if found.scheme.head != "regression":
        said += f" {found.vote_probabilities[0, k, vote]:.2f}"
    parts = [f"votes {said}", f"weight {found.weights[0, k]:.2f}", *([whole] if whole else [])]
    return f"{modality}: {', '.join(parts)}"


def _limit(occlusion: Occlusion) -> float:
    """The same for all modalities, so that their bars compare."""
    found = [np.abs(e.change[np.isfinite(e.change)]) for e in occlusion.evidence]
    return 1.1 * max([_LEAST, *(float(c.max()) for c in found if len(c))])


def _time_axis(axes: Axes, material: Material) -> None:
    axes.set_xlim(material.start, material.end)
    axes.xaxis.set_major_formatter("{x:g} s")


def _strip(axes: Axes, subject: Subject) -> None:
    """Pictures at their times, as large as they fit without touching."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    material = subject.material
    for time, image in material.pictures:
        high, wide = image.shape[:2]
        zoom = 72 * min(_TALL / high, _wide(material) / wide)
        place = (time, 0.0)
        axes.add_artist(
            AnnotationBbox(
                OffsetImage(image, zoom=zoom), place, frameon=False, pad=0, box_alignment=(0.5, 0)
            )
        )
    axes.set_ylim(0, 1)
    axes.set_axis_off()
    axes.set_title(_used(subject, "pictures", "vision"))
    _time_axis(axes, material)


def _wide(material: Material) -> float:
    """Inches that there are for a picture beside the others."""
    return 0.96 * _ACROSS * WIDTH / len(material.pictures)


def _tall(material: Material) -> float:
    """Inches that the tallest picture takes."""
    shapes = [image.shape for _, image in material.pictures]
    return max(min(_TALL, _wide(material) * float(high / wide)) for high, wide, _ in shapes)


def _wave(axes: Axes, subject: Subject) -> None:
    material = subject.material
    assert material.low is not None
    assert material.high is not None
    edges = np.linspace(material.start, material.end, len(material.low))
    axes.fill_between(edges, material.low, material.high, color=GREY, linewidth=0)
    top = max(0.01, float(np.abs([material.low, material.high]).max()))
    axes.set_ylim(-1.05 * top, 1.05 * top)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_title(_used(subject, "sound", "audio"))
    _time_axis(axes, material)


def _used(subject: Subject, what: str, modality: str) -> str:
    known = any(e.modality == modality for e in subject.occlusion.evidence)
    return what if known else f"{what} (not used by the model)"


def _bars(axes: Axes, starts: Array, ends: Array, change: Array, limit: float) -> None:
    known = np.isfinite(change)
    colours = [BLUE if value >= 0 else ORANGE for value in change[known]]
    axes.bar(
        ((starts + ends) / 2)[known],
        change[known],
        width=0.94 * (ends - starts)[known],
        color=colours,
        linewidth=0,
    )
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_ylim(-limit, limit)
    axes.locator_params(axis="y", nbins=3)


def _windows(axes: Axes, subject: Subject, evidence: Evidence, limit: float) -> None:
    _bars(axes, evidence.starts, evidence.ends, evidence.change, limit)
    axes.set_title(_about(subject, evidence))
    _time_axis(axes, subject.material)


def _words(axes: Axes, subject: Subject, evidence: Evidence, limit: float) -> None:
    """In time where that is known, else in order."""
    starts, ends = evidence.starts, evidence.ends
    timed = bool(np.isfinite(starts).all())
    if timed:
        _time_axis(axes, subject.material)
    else:
        starts = np.arange(len(starts), dtype=np.float64)
        ends = starts + 1
        axes.set_xlim(0, len(starts))
    _bars(axes, starts, ends, evidence.change, limit)
    turned = _turned(evidence) > 0
    axes.set_xticks(
        (starts + ends) / 2,
        [_short(words) for words in evidence.words],
        rotation=90 if turned else 0,
        fontsize=8,
    )
    axes.tick_params(axis="x", length=0)
    when = "words when they were said" if timed else "words in order, not in time"
    axes.set_title(f"{_about(subject, evidence)} ({when})")


def _turned(evidence: Evidence) -> float:
    """Letters that words on end take; 0 where there is room for them to lie."""
    longest = max(len(_short(words)) for words in evidence.words)
    room = 0.9 * WIDTH / len(evidence.words)
    return 0.0 if _LETTER * (longest + 1) < room else min(longest, _TALLEST)


def _short(words: str) -> str:
    most = int(_TALLEST)
    return words if len(words) <= most else f"{words[: most - 1]}…"
