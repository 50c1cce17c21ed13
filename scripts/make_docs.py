"""Render the results in README.md and pages of docs from docs/results and bench/results.

Ten kinds of JSON file are known: a table (`tricord.evaluation.table.Evaluation.to_json`), a
comparison over data sets (`tricord.experiments.demo.compare_over_seeds`), options
(`scripts/measure_options.py`), time and memory of files (`scripts/bench_data.py`), what
`tricord compare`, `tricord labels`, `tricord leave-out` and `tricord extract` keep, what
`tricord models --sizes --json` prints, and what `tricord bench` measures. The text between the
markers is a function of the files alone.

    python scripts/make_docs.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tricord.bench.tables import table_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "README.md": "docs/results",
    "docs/baselines.md": "docs/results/compare",
    "docs/clips.md": "docs/results/clips",
    "docs/method-beyond.md": "docs/results/beyond",
    "docs/performance.md": "bench/results",
}
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
SIZES = "sizes.json"
PLACEHOLDER = "No results are kept yet."
SUBSETS = ("D_test", "D_msc", "D_msi")
BAYES_RULE = "pos>neg+neutral"
SIMULATED = "**SIMULATED data.** "


def render(text: str, results: Mapping[str, Mapping[str, Any]], place: str = "") -> str:
    """The text with everything between the markers replaced.

    results: file name -> content. place: their folder, from the root. Raises ValueError without
    exactly one pair of markers, and for a file of another kind.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"one {BEGIN} followed by one {END} expected")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    folder = place.removeprefix("docs/")
    parts = [_result(name, results[name], folder) for name in sorted(results)] or [PLACEHOLDER]
    return "\n\n".join([before + BEGIN, *parts, END + after])


def load_results(folder: Path) -> dict[str, Any]:
    """File name -> content of all JSON files there; none where there is no such folder."""
    return {p.name: json.loads(p.read_text(encoding="utf-8")) for p in folder.glob("*.json")}


def _result(name: str, content: Mapping[str, Any], folder: str) -> str:
    rows, kind = content.get("rows"), str(content.get("kind"))
    placed = {
        "compare": _compare,
        "labels": _labels,
        "leave-out": _leave_out,
        "extraction": _extraction,
    }
    if kind in placed:
        return placed[kind](name, content, folder)
    kinds = {"options": _options, "data files": _data_files}
    if kind in kinds:
        return kinds[kind](name, content)
    if kind.startswith("bench "):
        return _bench(name, content)
    if name == SIZES:
        return _sizes(name, content)
    if isinstance(rows, Sequence):
        return _evaluation(name, content)
    if isinstance(rows, Mapping) and "data_fingerprints" in content:
        return _over_data_sets(name, content)
    raise ValueError(f"{name}: of no known kind")


def _evaluation(name: str, content: Mapping[str, Any]) -> str:
    clips = content["clips"]
    subsets = [s for s in SUBSETS if s in clips]
    seeds = ", ".join(map(str, content["seeds"]))
    caption = (
        f"{_simulated(content)}[`{name}`](docs/results/{name}): {content['metric']} on "
        f"{content['split']} in %, 95 % interval in brackets; training seeds {seeds}; data "
        f"`{content['data_fingerprint'][:12]}`."
    )
    head = ["", *(f"{s} (n={clips[s]})" for s in subsets)]
    rows = [
        [_named(row["name"], row["note"]), *(_cell(row[s]) for s in subsets)]
        for row in content["rows"]
    ]
    if limits := content["bayes_limit"]:
        rows.append(["Bayes limit (population)", *(_percent(limits[s]) for s in subsets)])
    return f"{caption}\n\n{_table(head, rows)}"


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return "-"
    deviation = cell["spread_over_seeds"]
    spread = "" if deviation is None else f" sd {_percent(deviation)}"
    interval = f"({_percent(cell['low'])}-{_percent(cell['high'])})"
    return f"{_percent(cell['accuracy'])}{spread} {interval}"


def _over_data_sets(name: str, content: Mapping[str, Any]) -> str:
    rows: Mapping[str, Mapping[str, Any]] = content["rows"]
    subsets = [s for s in SUBSETS if s in next(iter(rows.values()))]
    sets = len(content["data_fingerprints"])
    caption = (
        f"{_simulated(content)}[`{name}`](docs/results/{name}): accuracy in %, mean over {sets} "
        "data sets with their own models, and CMC minus the row in points with its 95 % t interval "
        "and p value over data sets (not corrected for their number)."
    )
    limits = content["bayes_limit"]
    body = [[row, *(_compared(cells[s]) for s in subsets)] for row, cells in rows.items()]
    body.append(
        [
            "Bayes limit (the same clips)",
            *(_percent(limits[s][BAYES_RULE]["mean"]) for s in subsets),
        ]
    )
    return f"{caption}\n\n{_table(['', *subsets], body)}"


def _compared(cell: Mapping[str, Any]) -> str:
    mean = _percent(cell["mean"])
    if "cmc_minus_this" not in cell:
        return mean
    low, high = _signed(cell["low"]), _signed(cell["high"])
    return f"{mean}; {_signed(cell['cmc_minus_this'])} ({low} to {high}), p {_p(cell['p'])}"


def _options(name: str, content: Mapping[str, Any]) -> str:
    caption = (
        f"{_simulated(content)}[`{name}`](docs/results/{name}): what an option changes in "
        f"accuracy on {content['split']}, in points against the default with its 95 % t "
        f"interval and p value over {len(content['seeds'])} data sets (not corrected for their "
        "number)."
    )
    rows = []
    for option, cells in content["options"].items():
        row = [f"`{option}`"]
        for cell in cells.values():
            text = _percent(cell["mean"])
            if "difference" in cell:
                low, high = _signed(cell["difference_low"]), _signed(cell["difference_high"])
                text += f"; {_signed(cell['difference'])} ({low} to {high}), p {_p(cell['p'])}"
            row.append(text)
        rows.append(row)
    subsets = ["all", *list(next(iter(content["options"].values())))[1:]]
    return f"{caption}\n\n{_table(['', *subsets], rows)}"


def _data_files(name: str, content: Mapping[str, Any]) -> str:
    """Time and memory, by the size of the data."""
    sizes = {"CH-SIMS": content["ch_sims"], "CMU-MOSEI": content["mosei"]}
    found = [
        f"{title}'s size: pickle {c['pickle_mb']:.0f} MB, store {c['store_mb']:.0f} MB"
        for title, c in sizes.items()
    ]
    epoch = content["epoch"]
    caption = (
        f"{_simulated(content)}[`{name}`](docs/results/{name}): seconds, and MB that the process "
        f"grows by at its largest, {content['cores']} cores, one thread. {'; '.join(found)}. An "
        f"epoch on a store of CMU-MOSEI's size grows by {epoch['whole']['anonymous_mb']:.0f} MB of "
        f"memory of its own, on an eighth of it by {epoch['eighth']['anonymous_mb']:.0f} MB."
    )
    rows = [
        [said, *(f"{c[key]['seconds']:.3g} s, {c[key]['rss_mb']:.0f} MB" for c in sizes.values())]
        for key, said in (
            ("plain_pickle", "Python's own unpickler"),
            ("load_pickle", "`tricord.load` of the pickle"),
            ("open_store", "`tricord.load` of the store"),
            ("convert", "pickle to store"),
        )
    ]
    ratios = {
        "time_of_opening": "unpickler over store, time",
        "memory_of_opening": "unpickler over store, memory",
        "peak_of_converting_over_largest_array": "peak of converting over the largest array",
    }
    rows += [
        [said, *(f"{c['ratio'][key]:.3g}" for c in sizes.values())] for key, said in ratios.items()
    ]
    return f"{caption}\n\n{_table(['', *sizes], rows)}"


def _sizes(file: str, content: Mapping[str, Any]) -> str:
    """Parameters by model and data set."""
    data_sets = list(next(iter(content.values())))
    rows = [
        [f"`{model}`", *(f"{counted[d]:,}" for d in data_sets)]
        for model, counted in content.items()
    ]
    caption = f"[`{file}`](results/compare/{file}), as `tricord models --sizes --json` prints it:"
    return f"{caption}\n\n{_table(['', *data_sets], rows)}"


def _labels(name: str, content: Mapping[str, Any], folder: str) -> str:
    """Whether pseudo labels found the true ones, by modality and part of train."""
    seeds = ", ".join(map(str, content["seeds"]))
    caption = (
        f"{_simulated(content)}[`{name}`]({folder}/{name}): pseudo labels of train of "
        f"`{content['model']}` that are the true unimodal ones, in %, mean of seeds {seeds} with "
        "the standard deviation over them; before: the multimodal label; oracle: the likeliest "
        "class given the modality's sequence and the multimodal label; reached: the change as a "
        "share of what the oracle gains."
    )
    rows = [
        [
            f"{modality}, {part}",
            str(of["clips"]),
            f"{of['moved']['mean']:.0f}",
            _percent(of["before"]),
            _with_spread(of["after"]),
            "-" if of["oracle"] is None else _percent(of["oracle"]),
            _with_spread(of["reached"]),
        ]
        for modality, found in content["modalities"].items()
        for part, of in found["parts"].items()
    ]
    head = ["", "clips", "moved", "before", "after", "oracle", "reached"]
    return f"{caption}\n\n{_table(head, rows)}"


def _with_spread(numbers: Mapping[str, float | None]) -> str:
    mean, spread = numbers["mean"], numbers["spread"]
    if mean is None:
        return "-"
    return _percent(mean) + ("" if spread is None else f" sd {_percent(spread)}")


def _compare(name: str, content: Mapping[str, Any], folder: str) -> str:
    """The models of one comparison, the best by mean first named."""
    subsets = [s for s in SUBSETS if content["majority"].get(s)]
    by_hand = {
        f"{row['name']}.{path}={value}"
        for row in content["rows"]
        for path, value in row["settings"].items()
    }
    clips = ", ".join(f"{s} {content['clips'][s]}" for s in subsets)
    caption = (
        f"{_simulated(content)}[`{name}`]({folder}/{name}): {content['metric']} on "
        f"{content['split']} of `{content['data']['source']}` (clips: {clips}) in %, mean of seeds "
        f"{', '.join(map(str, content['seeds']))}, standard deviation over seeds, 95 % interval "
        f"over videos; p against `{content['best']}`, the best row by mean, Holm-corrected; "
        "seconds of training and frames given to it, mean of the seeds. "
        f"Budget: {content['budget']['rule']}."
    )
    if by_hand:
        caption += f" By hand: {', '.join(f'`{setting}`' for setting in sorted(by_hand))}."
    head = ["", *subsets, "p", "F1", "MAE", "Corr", "size", "train s", "frames", "clips/s"]
    blank = [""] * (len(head) - len(subsets) - 4)
    rows = [["majority class", *_right(content["majority"], subsets, ""), *blank[1:]]]
    rows += [[r["name"], *_right(r, subsets, ""), *blank[1:]] for r in content.get("simple", ())]
    for row in content["rows"]:
        against = row["against_best"]
        seconds, frames = (_mean(row[key]) for key in ("training_seconds", "frames_seen"))
        rows.append(
            [
                f"`{row['name']}`",
                *_right(row, subsets, "best" if against is None else _p(against["p_holm"])),
                f"{row['size']:,}",
                f"{seconds:.3g}" if seconds < 100 else f"{seconds:.0f}",
                f"{frames:,.0f}",
                f"{row['clips_per_second']:,.0f}",
            ]
        )
    rows += [[f"`{r['name']}`", f"not run: {r['reason']}"] for r in content["not_run"]]
    if limits := content["bayes_limit"]:
        rows.append(["Bayes limit (population)", *(_percent(limits[s]) for s in subsets)])
    if limits := content.get("bayes_limit_here"):
        rows.append(["Bayes limit (these clips)", *(_percent(limits[s]) for s in subsets)])
    rows = [[*row, *[""] * (len(head) - len(row))] for row in rows]
    stem = name.removesuffix(".json")
    figures = [f"![{what}]({folder}/{stem}-{what}.svg)" for what in ("size", "time")]
    parts = [caption, _table(head, rows), *_versus(content), *_simple(content), *figures]
    return "\n\n".join(parts)


def _versus(content: Mapping[str, Any]) -> Iterable[str]:
    """The row that was asked for minus each other one, by subset."""
    found = content.get("versus") or {"minus": {}}
    for other, by_subset in found["minus"].items():
        parts = [
            f"{subset} {_signed(one['difference']['estimate'])} "
            f"({_signed(one['difference']['low'])} to {_signed(one['difference']['high'])}), "
            f"p {_p(one['p_holm'])}"
            for subset, one in by_subset.items()
        ]
        yield f"`{found['name']}` minus `{other}`: {'; '.join(parts)}."


def _leave_out(name: str, content: Mapping[str, Any], folder: str) -> str:
    """Every group test once: the rows over all clips, with the worst and the best group."""
    groups = content["groups"]
    caption = (
        f"{_simulated(content)}[`{name}`]({folder}/{name}): `tricord leave-out` on "
        f"`{content['data']['source']}`: {content['metric']} in % over {sum(groups.values())} "
        f"clips, each decided by models that never saw its group; {len(groups)} groups of "
        f"{min(groups.values())} to {max(groups.values())} clips; mean of seeds "
        f"{', '.join(map(str, content['seeds']))}, 95 % interval over groups, worst and best "
        f"group; p against `{content['best']}`, the best model by mean, Holm-corrected."
    )
    subset = next(s for s in SUBSETS if content["rows"][0].get(s))
    rows = []
    for row in content["rows"]:
        against, of_groups = row["against_best"], row["of_groups"].values()
        p = "-" if against is None else _p(against["p_holm"])
        accuracy, _, f1, *_ = _right(row, [subset], p)
        ends = (_percent(min(of_groups)), _percent(max(of_groups)))
        rows.append([row["name"], accuracy, *ends, f1, p])
    return f"{caption}\n\n{_table(['', content['metric'], 'worst', 'best', 'F1', 'p'], rows)}"


def _extraction(name: str, content: Mapping[str, Any], folder: str) -> str:
    """One line: what was measured, how fast, and where there were faces."""
    media, seconds = content["media_seconds"], content["seconds"]
    kept = f", {content['from_cache']} of them kept before" if content["from_cache"] else ""
    line = (
        f"[`{name}`]({folder}/{name}): {', '.join(content['extractors'].values())}: "
        f"{content['clips']} clips ({media:.0f} s){kept} in {seconds:.0f} s, "
        f"{content['failures']} failures"
    )
    if content["real_time_factor"] is not None:
        line += f", {content['real_time_factor']:.1f} times real time"
    if content["frames"]:
        faces = 100 * content["faces"] / content["frames"]
        line += f"; a face in {faces:.1f} % of {content['frames']} pictures"
    return f"{line}."


def _simple(content: Mapping[str, Any]) -> Iterable[str]:
    """How each model stands to what is simple, where it is known."""
    for row in content["rows"]:
        found = [
            f"{one['simple']} ({one['row']}) {_signed(one['difference'])} "
            f"({_signed(one['low'])} to {_signed(one['high'])}), {one['verdict']}"
            for one in row.get("no_worse_than_simple", ())
        ]
        if found:
            yield f"`{row['name']}` minus what is simple, on the whole split: {'; '.join(found)}."


def _right(row: Mapping[str, Any], subsets: Sequence[str], p: str) -> list[str]:
    """Accuracy by subset, p, F1, MAE and correlation."""
    cells = []
    for subset in subsets:
        cell = row[subset]
        spread = cell["spread_over_seeds"]
        deviation = "" if spread is None else f" sd {_percent(spread)}"
        interval = f"({_percent(cell['low'])}-{_percent(cell['high'])})"
        cells.append(f"{_percent(cell['mean'])}{deviation} {interval}")
    measured = row[subsets[0]]["metrics"]
    numbers = [measured.get(key) for key in ("f1", "mae", "corr")]
    return [*cells, p, *("-" if n is None else f"{n:.3f}" for n in numbers)]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _bench(name: str, content: Mapping[str, Any]) -> str:
    table = table_of(content)
    caption = f"{table.title}: [`{name}`](../bench/results/{name}). {' '.join(table.notes)}"
    return f"{caption}\n\n{_table(table.head, table.rows)}"


def _named(name: str, note: str) -> str:
    return f"{name} ({note})" if note else name


def _simulated(content: Mapping[str, Any]) -> str:
    return SIMULATED if content["simulated"] else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))


def main() -> None:
    """Rewrite the pages."""
    for page, folder in PAGES.items():
        path = ROOT / page
        rendered = render(path.read_text(encoding="utf-8"), load_results(ROOT / folder), folder)
        path.write_text(rendered, encoding="utf-8")


if __name__ == "__main__":
    main()
