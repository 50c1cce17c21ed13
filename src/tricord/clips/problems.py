"""What may be wrong with the files of a folder of clips, before any time is spent on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from tricord.clips.finding import Found, shortened
from tricord.data.readers.label_table import name_of, path_within
from tricord.data.store.manifest import file_sha256
from tricord.errors import DataError
from tricord.media.info import MediaInfo, probe

Severity = Literal["error", "warning", "note"]
SHORT = 1.0  # seconds; two words take about one
LONG = 60.0  # seconds; the clips of CH-SIMS, CMU-MOSI and CMU-MOSEI are cut to utterances
LOW_RATE = 16_000  # samples a second; what speech encoders are trained on
FEW_PICTURES = 10.0  # a second; a blink lasts 0.1 to 0.4 s
_BESIDE = {".txt", ".srt", ".vtt", ".csv", ".json"}  # transcripts and tables
_MOST_KINDS = 5


@dataclass(frozen=True)
class Problem:
    """kind: a short name. says: what is wrong. do: what to do about it.

    found: one line each, where. files: those it is about, as ``file`` of a label table names them.
    """

    severity: Severity
    kind: str
    says: str
    do: str
    files: tuple[str, ...]
    found: tuple[str, ...]


@dataclass(frozen=True)
class Looked:
    """A media file. file: its path in the folder. info: what is in it, or None, and error why."""

    path: Path
    file: str
    info: MediaInfo | None
    error: str = ""


def look(path: Path, folder: Path) -> Looked:
    """What is in a file, by its headers and first packets."""
    file = shortened(path, folder)
    try:
        return Looked(path, file, probe(path))
    except DataError as error:
        return Looked(path, file, None, str(error).removeprefix(f"{path}: "))


def can_be_named(file: str) -> bool:
    """Whether a cell of a table can hold the name, so that it is read back as it is."""
    within = path_within(file)
    back = within is not None and within.as_posix() == file
    return back and file.isprintable() and file == file.strip()


def problems_of(looked: Sequence[Looked], found: Found, folder: Path) -> tuple[Problem, ...]:
    """Of all files together, the worst first."""
    rules = (_unreadable, _names, _same_name, _same_content, _tracks, _lengths, _rates)
    problems = [problem for rule in rules for problem in rule(looked)]
    problems += _skipped(found, folder)
    order = ("error", "warning", "note")
    return tuple(sorted(problems, key=lambda problem: order.index(problem.severity)))


def problem(
    severity: Severity,
    kind: str,
    says: str,
    do: str,
    files: Sequence[str],
    found: Sequence[str] | None = None,
) -> Problem:
    """says: with {n} for the number of files in words. found: the files, unless told."""
    count = "1 file" if len(files) == 1 else f"{len(files)} files"
    lines = files if found is None else found
    return Problem(severity, kind, says.format(n=count), do, tuple(files), tuple(lines))


def _unreadable(looked: Sequence[Looked]) -> Iterator[Problem]:
    bad = [item for item in looked if item.info is None]
    if bad:
        yield problem(
            "error",
            "unreadable",
            "{n} cannot be read",
            "Get them again; a new table leaves them out.",
            [item.file for item in bad],
            [f"{item.file}: {item.error}" for item in bad],
        )


def _names(looked: Sequence[Looked]) -> Iterator[Problem]:
    bad = [item.file for item in looked if not can_be_named(item.file)]
    if bad:
        yield problem(
            "error",
            "name",
            "{n} with a name that a table cannot hold",
            "Rename them: no line ends, no backslashes, no blanks at the ends, UTF-8. A new table "
            "leaves them out.",
            bad,
        )


def _same_name(looked: Sequence[Looked]) -> Iterator[Problem]:
    groups = _alike(looked, lambda item: name_of(PurePosixPath(item.file)))
    if groups:
        yield problem(
            "error",
            "same-name",
            "{n} share the name of a clip, which is its folder and its name without suffix",
            "Rename them or their folders, or keep one row of each in the table.",
            [item.file for group in groups for item in group],
            [" = ".join(item.file for item in group) for group in groups],
        )


def _same_content(looked: Sequence[Looked]) -> Iterator[Problem]:
    sizes = _alike(looked, lambda item: item.path.stat().st_size)
    groups = [
        group for same in sizes for group in _alike(same, lambda item: file_sha256(item.path))
    ]
    if groups:
        yield problem(
            "warning",
            "same-content",
            "{n} are copies of each other",
            "Keep one of each: a copy in train and in test makes results too good.",
            [item.file for group in groups for item in group],
            [" = ".join(item.file for item in group) for group in groups],
        )


def _alike(looked: Sequence[Looked], key: Callable[[Looked], object]) -> list[tuple[Looked, ...]]:
    """Files that can be read and have the same key as another."""
    groups: dict[object, list[Looked]] = defaultdict(list)
    for item in looked:
        if item.info is not None:
            groups[key(item)].append(item)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _tracks(looked: Sequence[Looked]) -> Iterator[Problem]:
    readable = [(item.file, item.info) for item in looked if item.info is not None]
    for kind, what, lacking in (
        ("no-sound", "sound", [file for file, info in readable if info.audio is None]),
        ("no-picture", "pictures", [file for file, info in readable if info.video is None]),
    ):
        if lacking:
            every = len(lacking) == len(readable)
            yield problem(
                "note" if every else "warning",
                kind,
                f"{{n}}{', all of them,' if every else ''} without {what}",
                "They are used for what they have.",
                lacking,
            )


def _lengths(looked: Sequence[Looked]) -> Iterator[Problem]:
    lengths = [(item.file, item.info.duration) for item in looked if item.info is not None]
    short = [(file, seconds) for file, seconds in lengths if seconds < SHORT]
    if short:
        yield problem(
            "warning",
            "short",
            f"{{n}} shorter than {SHORT:g} s",
            "Look at them: so little says little about a feeling.",
            [file for file, _ in short],
            [f"{file}: {seconds:.2f} s" for file, seconds in short],
        )
    long = [(file, seconds) for file, seconds in lengths if seconds > LONG]
    if long:
        yield problem(
            "warning",
            "long",
            f"{{n}} longer than {LONG:g} s",
            "Cut them into single utterances, a few seconds each, with a label of its own: one "
            "label cannot be true of minutes.",
            [file for file, _ in long],
            [f"{file}: {seconds:.0f} s" for file, seconds in long],
        )


def _rates(looked: Sequence[Looked]) -> Iterator[Problem]:
    infos = [(item.file, item.info) for item in looked if item.info is not None]
    sound = {file: info.audio.rate for file, info in infos if info.audio is not None}
    pictures = {file: info.video.rate for file, info in infos if info.video is not None}
    low = [file for file, rate in sound.items() if rate < LOW_RATE]
    if low:
        yield problem(
            "warning",
            "low-sound",
            f"{{n}} with fewer than {LOW_RATE} samples of sound a second",
            "High frequencies are missing in them, such as of an s; use a better copy if there is "
            "one.",
            low,
            [f"{file}: {sound[file]}" for file in low],
        )
    few = [file for file, rate in pictures.items() if rate < FEW_PICTURES]
    if few:
        yield problem(
            "warning",
            "few-pictures",
            f"{{n}} with fewer than {FEW_PICTURES:g} pictures a second",
            "Quick movements of the face are missing in them.",
            few,
            [f"{file}: {pictures[file]:.3g}" for file in few],
        )
    rates = Counter(sound.values())
    if len(rates) > 1:
        usual = rates.most_common(1)[0][0]
        yield problem(
            "note",
            "mixed-sound",
            "clips differ in how their sound was recorded",
            "See that no label comes from one recorder only: a model would learn the recorder.",
            [file for file, rate in sound.items() if rate != usual],
            [f"{rate} samples a second: {_clips(count)}" for rate, count in rates.most_common()],
        )


def _skipped(found: Found, folder: Path) -> Iterator[Problem]:
    if found.links:
        yield problem(
            "warning",
            "link",
            "{n} or folders skipped, since they are links",
            "Copy what they point to into the folder.",
            [shortened(path, folder) for path in found.links],
        )
    others = [path for path in found.others if path.suffix.lower() not in _BESIDE]
    if others:
        kinds = Counter(path.suffix.lower() or "no suffix" for path in others).most_common()
        yield problem(
            "note",
            "not-media",
            "{n} skipped, which are no audio or video by their suffix",
            "Nothing, unless there is a clip among them: give it its suffix.",
            [shortened(path, folder) for path in others],
            [", ".join(f"{kind} ({count})" for kind, count in kinds[:_MOST_KINDS])],
        )


def _clips(count: int) -> str:
    return f"{count} clip{'s' * (count > 1)}"
