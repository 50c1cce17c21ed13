"""The documents: their commands and examples run; what they name exists; their tables are right."""

from __future__ import annotations

import importlib
import io
import json
import math
import re
import shlex
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import typer

from documents import make_docs
from drawn_clips import face, talking, voice, write_clip
from tricord import presets
from tricord._version import __version__
from tricord.cli import run
from tricord.cli.app import app
from tricord.data.readers.mmsa import write_mmsa
from tricord.data.simulation.simulate import simulate
from tricord.inference.recovery import epochs_to_move
from tricord.models import registry
from tricord.models.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], key=lambda p: p.relative_to(ROOT)
)
SECTIONS = ("model", "text", "supcon", "pretrain", "finetune", "modalities", "labels")
LOOKS = ["labels", "confidence", "importance", "robustness"]
COMMANDS = ["simulate", "data", "train", "evaluate", "predict", *LOOKS]
SMALL_CLIPS = {
    "extract": ["--rate", "2", "--workers", "1"],
    "train": ["--set", "pretrain.epochs=1", "--set", "finetune.epochs=1"],
}
SMALL = {  # what the README announces: fewer clips, one epoch
    "simulate": ["--scale", "0.05"],
    "train": ["--set", "pretrain.epochs=1", "--set", "finetune.epochs=1"],
    "importance": ["--repeats", "1"],
    "robustness": ["--repeats", "1"],
}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> Iterator[list[str]]:
    """The words of each command in the fenced shell blocks."""
    for block in fenced(text, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip():
                yield shlex.split(line)


def table_rows(text: str) -> Iterator[list[str]]:
    """The cells of every row of every table that starts with a letter, a number or a backtick."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("| ").split(" | ")]


def by_name(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda p: p.name)


# ------------------------------------------------------------------ commands


def section(title: str) -> str:
    """A part of the README."""
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


def test_the_commands_for_clips_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRICORD_CACHE", str(tmp_path / "cache"))
    for number, (name, smile) in enumerate([("happy", 0.4), ("sad", -0.8)] * 9):
        place = tmp_path / "clips" / name / f"{number}.mp4"
        place.parent.mkdir(parents=True, exist_ok=True)
        talking_clip(place, smile, f"it is {name} {number}")
    talking_clip(tmp_path / "new_clip.mp4", 0.4, "")
    commands = [words[1:] for words in shell_lines(section("From your own clips"))]
    assert [c[0] for c in commands] == ["clips", "extract", "train", "evaluate", "predict"]
    for words in commands:
        assert run([*words, *SMALL_CLIPS.get(words[0], [])]) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "what was said" not in said
    for modality in ("text", "audio", "vision"):
        assert modality in said
    assert (tmp_path / "new_clip.png").read_bytes().startswith(b"\x89PNG")


def talking_clip(place: Path, smile: float, said: str) -> None:
    """A second of a drawn face and a voice, with its words beside it where there are any."""
    images = [face(smile, mouth=0.2 + 0.2 * (i % 2), width=160, height=120) for i in range(10)]
    sound = voice(1.0, 120 + 60 * smile)
    write_clip(place, images, fps=10, sound=sound)
    if said:
        place.with_suffix(".txt").write_text(said, encoding="utf-8")


def test_readme_commands_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    others = README.replace(section("From your own clips"), "")
    commands = [words[1:] for words in shell_lines(others) if words[0] == "tricord"]
    assert list(dict.fromkeys(c[0] for c in commands)) == COMMANDS
    for words in commands:
        assert run([*words, *SMALL.get(words[0], [])]) == 0, capsys.readouterr().err
    kept = {p.suffix for p in (tmp_path / "my-run").rglob("*") if p.is_file()}
    assert kept == {".json", ".safetensors", ".html", ".png", ".svg", ".md"}
    columns = (tmp_path / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    announced = next(b for b in fenced(README, "text") if b.startswith("id,"))
    assert columns == announced.replace("\n", "")


@pytest.mark.slow
def test_readme_shows_what_data_show_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for words in list(shell_lines(README)):
        if words[:2] == ["tricord", "simulate"] or words[:3] == ["tricord", "data", "show"]:
            capsys.readouterr()
            assert run(words[1:]) == 0
    printed = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    announced = next(b for b in fenced(README, "text") if b.startswith("sim.pkl"))
    assert printed == announced.splitlines()


@by_name(PAGES)
def test_commands_and_options_exist(page: Path) -> None:
    root: Any = typer.main.get_command(app)
    for words in shell_lines(text_of(page)):
        if words[0] != "tricord":
            assert words[0] in ("make", "pip")
            continue
        command, rest = root, words[1:]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {w for w in rest if w.startswith("--")} <= known, words


@by_name(PAGES)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    text = text_of(page)
    named = {words[1] for words in shell_lines(text) if words[0] == "make"}
    assert named | set(re.findall(r"`make ([a-z-]+)`", text)) <= targets


# ------------------------------------------------------------------ examples


@by_name([page for page in PAGES if fenced(text_of(page), "python")])
def test_python_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    splits, record = simulate(scale=0.05, length_scale=0.05)
    write_mmsa(tmp_path / "sim.pkl", splits, record)
    talking(tmp_path / "clip.mp4", 4.0)
    names: dict[str, Any] = {"__name__": "example"}
    with redirect_stdout(io.StringIO()) as printed:
        for number, block in enumerate(fenced(text_of(page), "python"), 1):
            exec(compile(block, f"{page.name}, example {number}", "exec"), names)
    assert printed.getvalue()


# ------------------------------------------------------------------ names


@by_name(PAGES)
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text_of(page))
    for link in links:
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


@by_name(PAGES)
def test_settings_exist(page: Path) -> None:
    config = presets.ch_sims()
    leaves = set(leaf_paths(config.model_dump()))
    leaves |= {re.sub(r"^modalities\.\w+\.", "modalities.", leaf) for leaf in leaves}
    found = re.findall(rf"`((?:{'|'.join(SECTIONS)})\.[a-z_.]+?)(?: = [^`]*)?`", text_of(page))
    files = {f for f in found if f.endswith(".py")}
    assert set(found) - files <= leaves


def leaf_paths(tree: dict[str, Any], before: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaf_paths(value, f"{before}{name}.")
        else:
            yield before + name


def value_at(tree: dict[str, Any], path: str) -> Any:
    first, _, rest = path.partition(".")
    if first == "modalities" and rest.partition(".")[0] not in tree[first]:
        values = [value_at(encoder, rest) for encoder in tree[first].values()]
        assert values == values[:1] * len(values), path
        return values[0]
    return value_at(tree[first], rest) if rest else tree[first]


def test_the_table_of_settings_is_complete_and_its_defaults_are_right() -> None:
    tree = presets.ch_sims().model_dump(mode="json")
    text = text_of(ROOT / "docs" / "training.md").partition("## Settings")[2]
    named = {
        cells[0].strip("`"): cells[1] for cells in table_rows(text) if "." in cells[0].strip("`")
    }
    for path, default in named.items():
        assert value_at(tree, path) == json.loads(default), path
    leaves = {re.sub(r"^(modalities)\.\w+", r"\1", leaf) for leaf in leaf_paths(tree)}
    listed = {re.sub(r"^(modalities)\.(text|audio|vision)", r"\1", path) for path in named}
    assert listed == leaves - {"preset"}


def test_every_variant_is_described() -> None:
    for page in ("training.md", "fidelity.md"):
        text = text_of(ROOT / "docs" / page)
        named = set(re.findall(r"`(cmc[a-z-]*)`", text))
        assert named - set(VARIANTS) == set()
        assert set(VARIANTS) - named <= {"cmc", "tricord"}


def test_method_names_every_equation_once_and_only_what_exists() -> None:
    text = text_of(ROOT / "docs" / "method.md")
    equations = [int(cells[0]) for cells in table_rows(text) if cells[0].isdigit()]
    assert equations == list(range(1, 39))
    names = re.findall(r"`(tricord\.[\w.]+)`", text)
    assert names
    for name in names:
        resolve(name)
    for cells in table_rows(text):
        if cells[0].isdigit() and "as Eq." not in cells[2]:
            assert re.search(r"\[[\w/]+\.py\]\(\.\./src/.*?\) `tricord\.", cells[2]), cells


def resolve(name: str) -> object:
    """The module, class, function or method of this dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        try:
            found: object = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part)
        return found
    raise AssertionError(name)


def test_fidelity_has_every_matter_and_names_tests_that_exist() -> None:
    text = text_of(ROOT / "docs" / "fidelity.md")
    rows = [cells for cells in table_rows(text) if re.fullmatch(r"\d+b?", cells[0])]
    assert [cells[0] for cells in rows] == [*map(str, range(1, 19)), "18b", "19", "20", "21", "22"]
    tests = "".join(text_of(p) for p in (ROOT / "tests").rglob("test_*.py"))
    for cells in rows:
        shown = re.findall(r"`(test_\w+)`", cells[-1])
        assert shown or "not measured yet" in cells[-1], cells[0]
        for name in shown:
            assert f"def {name}(" in tests, (cells[0], name)


def test_fidelity_names_every_released_option() -> None:
    config = presets.ch_sims()
    before, after = config.model_dump(), config.released().model_dump()
    changed = [
        path for path in leaf_paths(before) if value_at(before, path) != value_at(after, path)
    ]
    text = text_of(ROOT / "docs" / "fidelity.md")
    assert changed
    for path in changed:
        assert f"`{path} = " in text, path


def test_when_labels_can_move() -> None:
    parts = presets.ch_sims().modalities
    closed = {name: epochs_to_move(m.label_momentum, "closed") for name, m in parts.items()}
    assert closed == {"text": 5, "audio": 1251, "vision": 1251}
    for m in parts.values():
        assert epochs_to_move(m.label_momentum, "recursive") is None


# ------------------------------------------------------------------ numbers


def test_half_widths() -> None:
    part = README.partition("## Rules of honesty")[2].partition("## Where")[0]
    rows = [cells for cells in table_rows(part) if cells[1].isdigit()]
    assert len(rows) == 5
    for _, clips, accuracy, half_width in rows:
        p = float(accuracy) / 100
        assert float(half_width) == round(196 * math.sqrt(p * (1 - p) / int(clips)), 1)


def test_readme_is_up_to_date_with_the_result_files() -> None:
    docs = make_docs()
    assert docs.render(README, docs.load_results(ROOT / "docs" / "results")) == README


def test_the_page_of_other_models_is_up_to_date_with_its_files_and_they_with_the_models() -> None:
    docs = make_docs()
    kept = docs.load_results(ROOT / "docs" / "results" / "compare")
    page = (ROOT / "docs" / "baselines.md").read_text(encoding="utf-8")
    assert docs.render(page, kept, "docs/results/compare") == page
    assert kept[docs.SIZES] == {name: registry.sizes(name) for name in registry.MODELS}


def test_the_page_of_our_method_is_up_to_date_with_its_files() -> None:
    docs = make_docs()
    folder = "docs/results/beyond"
    page = (ROOT / "docs" / "method-beyond.md").read_text(encoding="utf-8")
    assert docs.render(page, docs.load_results(ROOT / folder), folder) == page


def test_labels_and_simple_rows_are_rendered_by_hand() -> None:
    docs = make_docs()
    mean = {"mean": 0.625, "spread": 0.015}
    part = {"clips": 4, "moved": {"mean": 2.0, "spread": 0.0}, "before": 0.5, "after": mean}
    part |= {"oracle": 0.75, "reached": {"mean": 0.5, "spread": None}}
    labels = {"kind": "labels", "simulated": True, "model": "tricord", "seeds": [1, 2]}
    labels["modalities"] = {"text": {"parts": {"D_msi": part}}}
    against = {"simple": "logistic regression", "row": "linear", "difference": 0.012}
    against |= {"low": -0.004, "high": 0.028, "verdict": "not below"}
    compared = {**COMPARE, "simple": [{"name": "linear", "D_test": CELL}]}
    compared["rows"] = [{**COMPARE["rows"][0], "no_worse_than_simple": [against]}]
    page = f"{docs.BEGIN}\n{docs.END}"
    lines = docs.render(page, {"a.json": labels, "b.json": compared}, "docs/results/x").splitlines()
    for line in (
        "| text, D_msi | 4 | 2 | 50.0 | 62.5 sd 1.5 | 75.0 | 50.0 |",
        "| linear | 77.5 sd 2.0 (70.0-81.2) |  | - | - | - |  |  |  |  |",
        "`tfn` minus what is simple, on the whole split: logistic regression (linear) +1.2 "
        "(-0.4 to +2.8), not below.",
        "![size](results/x/b-size.svg)",
    ):
        assert line in lines


CELL = {"mean": 0.775, "low": 0.7, "high": 0.8125, "spread_over_seeds": 0.02, "metrics": {}}
COMPARE = {
    "kind": "compare",
    "simulated": True,
    "split": "test",
    "metric": "acc2",
    "seeds": [1, 2],
    "budget": {"rule": "published settings"},
    "data": {"source": "some.pkl"},
    "clips": {"D_test": 4},
    "bayes_limit": {"D_test": 0.85},
    "majority": {"D_test": {**CELL, "spread_over_seeds": None}},
    "best": "cmc",
    "rows": [
        {
            "name": "tfn",
            "D_test": {**CELL, "metrics": {"f1": 0.5, "mae": 0.25, "corr": 0.125}},
            "size": 12345,
            "training_seconds": [1.0, 2.0],
            "frames_seen": [1000, 2000],
            "clips_per_second": 3000.4,
            "against_best": {"p_holm": 0.0004},
            "settings": {"epochs": 3},
        }
    ],
    "not_run": [{"name": "lmf", "reason": "no words"}],
}


def test_comparisons_and_sizes_are_rendered_by_hand() -> None:
    docs = make_docs()
    page = f"{docs.BEGIN}\n{docs.END}"
    files = {"c.json": COMPARE, docs.SIZES: {"cmc": {"mosi": 108382}}}
    lines = docs.render(page, files, "docs/results/compare").splitlines()
    for line in (
        "| majority class | 77.5 (70.0-81.2) |  | - | - | - |  |  |  |  |",
        "| `tfn` | 77.5 sd 2.0 (70.0-81.2) | < 0.001 | 0.500 | 0.250 | 0.125 | 12,345 | 1.5 | "
        "1,500 | 3,000 |",
        "| `lmf` | not run: no words |  |  |  |  |  |  |  |  |",
        "| Bayes limit (population) | 85.0 |  |  |  |  |  |  |  |  |",
        "![size](results/compare/c-size.svg)",
        "| `cmc` | 108,382 |",
    ):
        assert line in lines
    assert any(line.startswith("**SIMULATED data.** [`c.json`]") for line in lines)
    assert any("By hand: `tfn.epochs=3`." in line for line in lines)


EVALUATION = {
    "split": "test",
    "metric": "acc2",
    "simulated": True,
    "seeds": [1, 2],
    "data_fingerprint": "0123456789abcdef",
    "clips": {"D_test": 4, "D_msi": 2},
    "bayes_limit": {"D_test": 0.85, "D_msi": 0.73},
    "rows": [
        {
            "name": "text",
            "note": "its stage-1 model",
            "D_test": {
                "accuracy": 0.775,
                "low": 0.7,
                "high": 0.8125,
                "level": 0.95,
                "method": "cluster bootstrap",
                "spread_over_seeds": 0.02,
                "metrics": {},
            },
            "D_msi": None,
        }
    ],
}


def compared(mean: float, **difference: float) -> dict[str, float]:
    return {"mean": mean, **difference}


OVER_DATA_SETS = {
    "simulated": True,
    "data_fingerprints": ["a", "b"],
    "rows": {
        "text": {
            "D_test": compared(0.7, cmc_minus_this=0.05, low=-0.01, high=0.11, p=0.0004),
        },
        "cmc": {"D_test": compared(0.75)},
    },
    "bayes_limit": {"D_test": {"pos>neg+neutral": compared(0.85)}},
}


def test_results_are_rendered_by_hand() -> None:
    docs = make_docs()
    page = f"above\n\n{docs.BEGIN}\n\nold\n\n{docs.END}\n\nbelow"
    files = {"b.json": EVALUATION, "a.json": OVER_DATA_SETS}
    rendered = docs.render(page, files)
    assert rendered.startswith("above\n")
    assert rendered.endswith("\nbelow")
    assert "old" not in rendered
    assert rendered.index("a.json") < rendered.index("b.json")
    assert rendered.count("**SIMULATED data.**") == 2
    for line in (
        "|  | D_test (n=4) | D_msi (n=2) |",
        "| text (its stage-1 model) | 77.5 sd 2.0 (70.0-81.2) | - |",
        "| Bayes limit (population) | 85.0 | 73.0 |",
        "| text | 70.0; +5.0 (-1.0 to +11.0), p < 0.001 |",
        "| cmc | 75.0 |",
        "| Bayes limit (the same clips) | 85.0 |",
    ):
        assert line in rendered.splitlines()
    assert docs.render(rendered, files) == rendered
    assert docs.PLACEHOLDER in docs.render(rendered, {})


def test_time_and_memory_of_data_files_are_rendered() -> None:
    docs = make_docs()
    did = {"seconds": 8.0, "rss_mb": 500.0, "anonymous_mb": 499.0}
    size = {
        **{"pickle_mb": 512.4, "store_mb": 300.0},
        **dict.fromkeys(("plain_pickle", "load_pickle", "convert"), did),
        "open_store": {"seconds": 0.0161, "rss_mb": 11.3, "anonymous_mb": 7.0},
        "ratio": {
            "time_of_opening": 496.9,
            "memory_of_opening": 44.2,
            "peak_of_converting_over_largest_array": 1.013,
        },
    }
    content = {
        **{"kind": "data files", "simulated": True, "cores": 2, "ch_sims": size, "mosei": size},
        "epoch": {"whole": did, "eighth": did},
    }
    rendered = docs.render(f"{docs.BEGIN}\n{docs.END}", {"d.json": content}).splitlines()
    assert "| `tricord.load` of the store | 0.0161 s, 11 MB | 0.0161 s, 11 MB |" in rendered
    assert "| peak of converting over the largest array | 1.01 | 1.01 |" in rendered
    assert any("SIMULATED" in line and "pickle 512 MB" in line for line in rendered)


@pytest.mark.parametrize("results", [{"a.json": {}}, {"a.json": {"rows": {}}}])
def test_a_result_file_of_another_kind_is_refused(results: dict[str, Any]) -> None:
    docs = make_docs()
    with pytest.raises(ValueError, match=r"a\.json"):
        docs.render(f"{docs.BEGIN}\n{docs.END}", results)


def test_markers_must_be_a_pair() -> None:
    docs = make_docs()
    for page in ("", docs.BEGIN, f"{docs.END}{docs.BEGIN}", 2 * f"{docs.BEGIN}{docs.END}"):
        with pytest.raises(ValueError, match="expected"):
            docs.render(page, {})


def test_citation_has_the_version() -> None:
    assert f"\nversion: {__version__}\n" in text_of(ROOT / "CITATION.cff")
