"""tricord predict on video and sound files: clip by clip, or one file window by window."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tricord.cli.predict import Promise, say_calibrated, with_columns, write_rows

if TYPE_CHECKING:
    from tricord.api import Run
    from tricord.clips.clip import Clip
    from tricord.clips.measure import Measurer
    from tricord.data.progress import Tick
    from tricord.inference.clip import ClipPredictions
    from tricord.inference.occlusion import Occlusion
    from tricord.inference.timeline import Span, Timeline
    from tricord.training.trained import TrainedModel
    from tricord.words.transcripts import Transcript

LONG = 60.0  # seconds; clips that models of this field learn from last two to twenty
MOST_SAID = 5  # failures that are spelled out


@dataclass(frozen=True)
class Asked:
    """The command's options, as typed."""

    file: Path
    text: str | None
    plot: Path | None
    timeline: bool
    window: float | None
    step: float | None
    srt: Path | None
    out: Path | None
    as_json: bool
    download: bool


def predict_media(run: Run, asked: Asked, promise: Promise) -> None:
    """Measure, predict and show what was asked for; raises TricordError as the command does."""
    from tricord.cli.console import console
    from tricord.clips.measure import Measurer
    from tricord.inference.recipe import recipe_needed

    by_window = _check(asked)
    recipe = recipe_needed(run.best)
    with console.status("loading what measures clips"):
        measurer = Measurer(recipe, download=asked.download)
    for notice in measurer.notices:
        console.print(f"warning: {notice}", soft_wrap=True)
    if by_window:
        _predict_timeline(run.best, asked, measurer, promise)
    else:
        _predict_clips(run.best, asked, measurer, promise)


def _check(asked: Asked) -> bool:
    """Whether a file is wanted piece by piece; raises ConfigError for what does not go together."""
    from tricord.errors import ConfigError
    from tricord.report.clip_figure import check_place

    by_window = asked.timeline or asked.srt is not None
    for name, value in (("window", asked.window), ("step", asked.step)):
        if value is not None and (asked.srt is not None or not asked.timeline):
            why = "--srt says the pieces" if asked.srt else "needs --timeline"
            raise ConfigError(f"--{name} {value:g}: {why}")
    if asked.plot is not None:
        check_place(asked.plot)
    if asked.file.is_dir():
        for name in ("text", "plot", "srt", "timeline"):
            if getattr(asked, name):
                raise ConfigError(f"--{name}: is of one file, but {asked.file} is a folder")
    if by_window and asked.text is not None:
        raise ConfigError("--text: it is not known when that is said; subtitles are: --srt")
    return by_window


@contextmanager
def _progress(what: str) -> Iterator[Tick]:
    from tricord.cli.console import console

    with console.status(what) as status:
        yield lambda done, total: status.update(f"{what}: {done} of {total}")


def words_beside(path: Path) -> Transcript | None:
    """The transcript beside a media file, or None."""
    from tricord.words.transcripts import read, sidecar

    place = sidecar(path)
    return None if place is None else read(place)


def _predict_clips(
    trained: TrainedModel, asked: Asked, measurer: Measurer, promise: Promise
) -> None:
    from tricord.cli.clip_view import block, reasons
    from tricord.cli.console import console
    from tricord.inference.clip import measuring, predict_clips

    clips, words = _clips(asked)
    with _progress("measuring and predicting") as tick:
        found = predict_clips(trained, clips, measuring(trained, measurer), tick)
    rows = list(found.rows())
    with_columns(rows, promise.columns(found.predictions))
    for row, features in zip(rows, found.features, strict=True):
        row["notices"] = "; ".join(features.notices)
    _say_failures(found.failures.values(), len(clips))
    _say_long(found)
    occlusion = None
    if asked.plot is not None:
        occlusion = _plot(trained, asked.plot, found, measurer, words)
    if asked.as_json:
        _print_json(rows, found, occlusion)
    if asked.file.is_dir():
        say_calibrated(found.predictions)
    elif not asked.as_json:
        typer.echo(block(found, rows[0], reasons(trained, found.features[0])))
    if asked.out is not None or (asked.file.is_dir() and not asked.as_json):
        write_rows(rows, asked.out, as_json=False, what="clip")
    if asked.plot is not None:
        console.print(f"figure: {asked.plot}", soft_wrap=True)


def _clips(asked: Asked) -> tuple[list[Clip], Transcript | None]:
    """The clips, and of a single one without --text what lies beside it."""
    from tricord.clips.clip import Clip
    from tricord.clips.listing import find_media

    def clip(path: Path, name: str, words: Transcript | None) -> Clip:
        return Clip(name, path, None if words is None else words.text or None)

    if asked.file.is_dir():
        paths = find_media(asked.file)
        names = [path.relative_to(asked.file).as_posix() for path in paths]
        return [clip(p, n, words_beside(p)) for p, n in zip(paths, names, strict=True)], None
    if asked.text is not None:
        return [Clip(asked.file.name, asked.file, asked.text)], None
    words = words_beside(asked.file)
    return [clip(asked.file, asked.file.name, words)], words


def _say_failures(reasons: Any, total: int) -> None:
    from tricord.cli.console import console

    reasons = list(reasons)
    for reason in reasons[:MOST_SAID]:
        console.print(f"not predicted: {reason}", soft_wrap=True)
    if len(reasons) > MOST_SAID:
        console.print(f"... and {len(reasons) - MOST_SAID} more", soft_wrap=True)
    if reasons:
        console.print(f"{len(reasons)} of {total} not predicted", soft_wrap=True)


def _say_long(found: ClipPredictions) -> None:
    from tricord.cli.console import console

    for features in found.features:
        if features.duration > LONG:
            console.print(
                f"note: {features.id} lasts {features.duration:.0f} s; a model that learnt from "
                "clips of seconds is not made for that: --timeline predicts it window by window",
                soft_wrap=True,
            )
            return


def _plot(
    trained: TrainedModel,
    path: Path,
    found: ClipPredictions,
    measurer: Measurer,
    words: Transcript | None,
) -> Occlusion:
    from tricord.cli.clip_view import reasons
    from tricord.cli.console import console
    from tricord.inference.confidence import standing
    from tricord.inference.occlusion import occlude
    from tricord.report.clip_figure import Subject, draw_clip
    from tricord.report.clip_material import material

    clip, features = found.clips[0], found.features[0]
    encode = None
    if "text" in measurer.recipe.parts:
        info = measurer.probe(clip)

        def encode(text: str) -> Any:
            return measurer.measure(replace(clip, text=text), info, "text").track

    vision = measurer.recipe.vision
    face = None if vision is None else vision.options.get("face")
    with console.status("taking parts of the clip out"):
        segments = () if words is None else words.segments
        occlusion = occlude(trained, features, start=clip.start, encode=encode, segments=segments)
        draw_clip(
            path,
            Subject(
                name=clip.id,
                predictions=found.predictions,
                occlusion=occlusion,
                material=material(clip, features, face),
                calibrated=standing(found.predictions),
                notices=[f"{name}: {why}" for name, why in reasons(trained, features).items()],
            ),
        )
    return occlusion


def _print_json(
    rows: list[dict[str, Any]], found: ClipPredictions, occlusion: Occlusion | None
) -> None:
    from tricord.inference.confidence import standing

    content: dict[str, Any] = {
        "clips": rows,
        "failures": dict(found.failures),
        "calibration": "; ".join(standing(found.predictions)),
    }
    if occlusion is not None:
        content["evidence"] = occlusion.to_json()
    typer.echo(json.dumps(content, indent=1, ensure_ascii=False))


def _predict_timeline(
    trained: TrainedModel, asked: Asked, measurer: Measurer, promise: Promise
) -> None:
    from tricord.cli.clip_view import timeline_table
    from tricord.cli.console import console
    from tricord.inference.clip import measuring
    from tricord.inference.timeline import timeline

    spans = _spans(trained, asked)
    with _progress("measuring and predicting windows") as tick:
        found = timeline(trained, asked.file, spans, measuring(trained, measurer), tick)
    say_calibrated(found.predictions)
    rows = list(found.rows())
    for name, column in promise.columns(found.predictions).items():
        values = dict(zip(found.places.tolist(), column, strict=True))
        for number, row in enumerate(rows):
            row[name] = values.get(number)
    _say_failures(found.failures.values(), len(spans))
    if asked.as_json or asked.out is not None:
        write_rows(rows, asked.out, as_json=asked.as_json, what="window")
    else:
        typer.echo(timeline_table(found, rows))
    if asked.plot is not None:
        _plot_timeline(asked.plot, asked.file, found)
        console.print(f"figure: {asked.plot}", soft_wrap=True)


def _spans(trained: TrainedModel, asked: Asked) -> list[Span]:
    from tricord.cli.console import console
    from tricord.inference.timeline import STEP, WINDOW, subtitles, windows, with_words
    from tricord.media.info import probe
    from tricord.words.transcripts import read_subtitles

    duration = probe(asked.file).duration
    if asked.srt is not None:
        segments = read_subtitles(asked.srt).segments
        spans = subtitles(segments, duration, str(asked.srt))
        if len(spans) < len(segments):
            outside = len(segments) - len(spans)
            console.print(
                f"note: {outside} of {len(segments)} subtitles outside the {duration:.1f} s of the "
                "file: left out; are they of this file?"
            )
        return spans
    window = WINDOW if asked.window is None else asked.window
    step = min(STEP, window) if asked.step is None else asked.step
    spans = windows(duration, window, step)
    words = words_beside(asked.file)
    if words is not None and words.segments:
        return with_words(spans, words)
    if "text" in trained.widths:
        console.print(
            "note: no subtitles beside the file: windows are predicted without words",
            soft_wrap=True,
        )
    return spans


def _plot_timeline(path: Path, file: Path, found: Timeline) -> None:
    from tricord.evaluation.calibration import described
    from tricord.report.timeline_figure import draw_timeline

    draw_timeline(path, file.name, found, described(found.predictions.calibration))
