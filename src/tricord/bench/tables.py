"""What was measured as rows of words, for the screen and for the documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Content = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """title: one sentence. notes: sentences below it. head and rows: cells of text."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def table_of(content: Content) -> Table:
    """Of a result of any kind; raises ValueError for one that is not known."""
    kind = str(content.get("kind"))
    if kind not in _KINDS:
        raise ValueError(f"kind {kind!r} found, expected one of {list(_KINDS)}")
    return _KINDS[kind](content)


def _train(content: Content) -> Table:
    names = {
        "encode_text": "text, once",
        "stage1": "stage 1",
        "stage2_frozen": "stage 2, frozen",
        "stage2": "stage 2",
    }
    naive = content["naive"] or {"parts": {}}
    rows = []
    for key, part in content["parts"].items():
        name, plain = names[key], naive["parts"].get(key)
        rows.append(
            [
                _marked(name, part),
                *(_number(part[k]) for k in ("seconds", "achieved_gflops")),
                *_shares(part),
                _number(part["clips_per_s"]),
                _number(part.get("peak_device_mib", part["peak_rss_mib"])),
                *(["", ""] if plain is None else _held_against(part, plain)),
            ]
        )
    head = ["an epoch", "s", "GFLOP/s", *_OF, "clips/s", "MiB", "plain s", "ratio"]
    notes = [_said(content), _ceilings(content)]
    if any(part["scaled"] for part in content["parts"].values()):
        notes.append("~: some steps of training, and the same share of valid, stand for all.")
    if naive["parts"]:
        steps = naive["parts"]["stage1"]["steps_timed"]
        notes.append(
            f"Plain: {steps} steps scaled to an epoch, {_number(naive['peak_rss_mib'])} MiB, "
            f"{naive['ratio']['peak_rss']:.1f} times ours."
        )
    return Table(f"Training at the size of {content['size']}", head, rows, notes)


def _held_against(part: Content, plain: Content) -> list[str]:
    return [_number(plain["seconds"]), f"{plain['seconds'] / part['seconds']:.1f}"]


def _predict(content: Content) -> Table:
    names = {
        "features": "from features",
        "one_frame": "clips of one frame",
        "tokens": "from tokens",
        "language": "the language model alone",
    }
    parts = content["parts"]
    rows = [
        [
            name,
            *(_number(parts[key][k]) for k in ("clips_per_s", "achieved_gflops")),
            *_shares(parts[key]),
            _number(parts[key]["peak_rss_mib"]),
        ]
        for key, name in names.items()
    ]
    notes = [
        _said(content),
        _ceilings(content),
        f"One clip: p50 {content['p50_ms']:.2f} ms, p95 {content['p95_ms']:.2f} ms. From tokens: "
        f"{100 * content['of_language']:.0f} % of the language model's own throughput.",
    ]
    title = f"Prediction at the size of {content['size']}"
    return Table(title, ["", "clips/s", "GFLOP/s", *_OF, "MiB"], rows, notes)


def _load(content: Content) -> Table:
    rows = [
        [
            f"tricord.load of the {kind}",
            f"{1e3 * content[kind]['seconds']:.1f}",
            _number(content[kind]["grown_mib"]),
            _number(content[kind]["mib"]),
        ]
        for kind in ("pickle", "store")
    ]
    title = f"Opening data of the size of {content['size']}"
    return Table(title, ["", "ms", "grows by MiB", "on disk MiB"], rows, [_said(content)])


def _growth(content: Content) -> Table:
    rows = [
        [
            axis,
            " ".join(map(str, found["values"])),
            " ".join(f"{seconds:.2g}" for seconds in found["seconds"]),
            f"{found['exponent']:.2f}",
            f"{found['r2']:.3f}",
        ]
        for axis, found in content["axes"].items()
    ]
    base = ", ".join(f"{value} {name}" for name, value in content["base"].items())
    notes = [_said(content), f"The others stay at {base}; frames: the mean length."]
    title = "Seconds of an epoch of stage 1 against one quantity"
    return Table(title, ["", "values", "seconds", "exponent", "R2"], rows, notes)


def _extract(content: Content) -> Table:
    rows = []
    for name, found in content["recipes"].items():
        faces = "-" if found["faces"] is None else f"{100 * found['faces']:.0f} %"
        parts = (found["parts"].get(part) for part in ("text", "audio", "vision"))
        rows.append(
            [
                name,
                _number(found["clips_per_s"]),
                f"{found['real_time_factor']:.1f}",
                *(_number(found[key]) for key in ("seconds", "cpu_seconds")),
                *(_number(part) for part in parts),
                faces,
                _number(found["peak_rss_mib"]),
            ]
        )
    clips = content["clips"]
    notes = [
        _said(content),
        f"Median of {content['runs']} runs over {clips['count']} drawn clips of "
        f"{clips['seconds']:g} s, {clips['width']}x{clips['height']} at {clips['fps']} pictures a "
        f"second, of which {content['pictures_per_s']:g} are looked at.",
        *(f"Not measured: {name} ({why})." for name, why in content["left_out"].items()),
    ]
    head = ["recipe", "clips/s", "x real time", "s", "cpu s", "text", "audio", "vision"]
    head += ["faces", "MiB"]
    return Table("Measuring clips on one core", head, rows, notes)


_KINDS: dict[str, Callable[[Content], Table]] = {
    "bench train": _train,
    "bench predict": _predict,
    "bench load": _load,
    "bench growth": _growth,
    "bench extract": _extract,
}
_OF = ("fp32", "bf16")


def _shares(part: Content) -> list[str]:
    found = (part.get(f"share_of_{ceiling}") for ceiling in ("gemm", "gemm_bf16"))
    return ["-" if share is None else f"{100 * share:.0f} %" for share in found]


def _said(content: Content) -> str:
    machine = content["machine"]
    device = f"{machine['device']}, MiB of its memory; " if "device" in machine else ""
    return (
        f"SIMULATED data; {device}{machine['processor']}, {machine['cores']} cores, "
        f"{machine['threads']} threads, torch {content['versions']['torch']}."
    )


def _ceilings(content: Content) -> str:
    bf16 = content["gemm_bf16_gflops"]
    also = "" if bf16 is None else f", {bf16:.0f} in bf16"
    return (
        f"fp32, bf16: share of what matrix products reach, {content['gemm_gflops']:.0f} GFLOP/s in "
        f"fp32{also}."
    )


def _marked(name: str, part: Content) -> str:
    return f"{name} ~" if part["scaled"] else name


def _number(value: float | None) -> str:
    """Three digits, more only before the point."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
