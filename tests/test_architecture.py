"""The layer rule and other rules that hold for every file of the package."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src"
FILES = sorted((SOURCE / "tricord").rglob("*.py"))

# From left to right; a module imports from its own group and from those on its left.
LAYERS = (
    ("_version", "_lazy", "errors", "files", "device", "types", "labels", "config"),
    ("baseline_config", "presets", "track"),
    (
        *("nn", "plgm", "transition", "evaluation.metrics", "evaluation.statistics"),
        *("evaluation.calibration", "evaluation.conflict", "evaluation.selective"),
    ),
    ("data", "features", "media", "sound", "sight", "words"),
    ("clips",),
    ("models",),
    ("training",),
    ("models.baselines", "models.registry"),
    ("training.baseline", "training.run"),
    ("inference",),
    ("evaluation",),
    ("report",),
    ("api",),
    ("tuning",),
    ("experiments",),
    ("bench",),
    ("cli", "__main__"),
)
RANK = {f"tricord.{part}": rank for rank, layer in enumerate(LAYERS) for part in layer}
FACADE = "tricord"  # the public names, imported lazily

PURE = ("tricord.nn", "tricord.plgm")
PURE_IMPORTS = {
    *("__future__", "collections", "copy", "dataclasses", "math", "numpy", "torch", "tricord"),
    "typing",
}
VOCABULARY = ("tricord._lazy", "tricord.types")
HEAVY = {"torch", "numpy", "transformers", "scipy", "matplotlib", "safetensors"}

SCREEN_IMPORTS = {"click", "rich", "typer"}
PRINTING = {"print", "sys.stdout.write", "sys.stderr.write"}
UNPICKLER = "tricord.data.readers.pickle_safe"  # its pickle.Unpickler admits arrays only
# It reads HDF5 in a process of its own, as the library may crash or hang on a damaged file.
GUARDED = ("tricord.data.readers.hdf5_safe", "subprocess")
UNSAFE = {
    "eval", "exec", "compile", "__import__", "os.system",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "torch.hub.load",
    "marshal.load", "marshal.loads", "yaml.load",
}  # fmt: skip
UNSAFE_ARGUMENTS = {"allow_pickle", "trust_remote_code"}
UNSAFE_IMPORTS = {
    "cloudpickle", "ctypes", "dill", "joblib", "marshal", "shelve", "subprocess",
    "http", "requests", "socket", "urllib",
}  # fmt: skip


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path) for path in FILES}


def rank(module: str) -> int | None:
    """Place of a module's layer; the longest name that fits counts."""
    while module != FACADE:
        if module in RANK:
            return RANK[module]
        module = module.rpartition(".")[0]
    return None


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, module) of every import, also inside functions; ``.`` in front of relative ones."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in MODULES else base


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that is called or subclassed, under its imported name."""
    origin = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        used = [node.func] if isinstance(node, ast.Call) else getattr(node, "bases", [])
        for expression in used:
            if isinstance(expression, ast.Name | ast.Attribute):
                first, dot, rest = ast.unparse(expression).partition(".")
                yield node.lineno, origin.get(first, first) + dot + rest


def layer_violations(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    own = rank(module)
    for line, target in imports(tree):
        if target.startswith("."):
            yield line, f"imports {target}: write the whole name"
        if target.partition(".")[0] != "tricord" or module == FACADE:
            continue
        other = rank(target)
        if own is None or other is None:
            yield line, f"{module} imports {target}: no layer is known for one of them"
        elif other > own:
            yield line, f"{module} imports {target}, which is on its right"


def purity_violations(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    if not module.startswith(PURE):
        return
    for line, target in imports(tree):
        ours = target.startswith((*PURE, *VOCABULARY))
        if target.partition(".")[0] not in PURE_IMPORTS or (
            target.startswith("tricord") and not ours
        ):
            yield line, f"{module} imports {target}: pure maths needs no files and no settings"


def screen_violations(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    if module.startswith("tricord.cli"):
        return
    for line, target in imports(tree):
        if target.partition(".")[0] in SCREEN_IMPORTS:
            yield line, f"{module} imports {target}: only the command line talks to the user"
    for line, name in calls(tree):
        if name in PRINTING:
            yield line, f"{module} calls {name}: only the command line prints"


def safety_violations(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, target in imports(tree):
        if target.partition(".")[0] in UNSAFE_IMPORTS and (module, target) != GUARDED:
            yield line, f"{module} imports {target}"
    for line, name in calls(tree):
        if name in UNSAFE and (module, name) != (UNPICKLER, "pickle.Unpickler"):
            yield line, f"{module} uses {name}"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.keyword)
            and node.arg in UNSAFE_ARGUMENTS
            and ast.unparse(node.value) != "False"
        ):
            yield node.value.lineno, f"{module} sets {node.arg}"


def facade_violations(module: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """`import tricord` imports nothing but its own version."""
    if module != FACADE:
        return
    typing_only = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for line, _ in imports(node)
    }
    for line, target in imports(tree):
        first = target.partition(".")[0]
        if (
            line not in typing_only
            and target != "tricord._version"
            and (first == "tricord" or first in HEAVY)
        ):
            yield line, f"{target} is imported at once, not when it is first used"


RULES: dict[str, Callable[[str, ast.AST], Iterator[tuple[int, str]]]] = {
    "layers": layer_violations,
    "purity": purity_violations,
    "screen": screen_violations,
    "safety": safety_violations,
    "facade": facade_violations,
}


@pytest.mark.parametrize("rule", RULES)
def test_every_file_keeps_the_rule(rule: str) -> None:
    assert len(FILES) > 40
    broken = [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path in FILES
        for line, message in RULES[rule](module_name(path), ast.parse(path.read_text("utf-8")))
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        ("layers", "tricord.nn.losses", "from tricord.models import CMC"),
        ("layers", "tricord.data.load", "def f():\n    import tricord.training.loop"),
        ("layers", "tricord.models.cmc", "from tricord import training"),
        ("layers", "tricord.evaluation.metrics", "from tricord.evaluation.table import Cell"),
        ("layers", "tricord.evaluation.metrics", "from tricord.data.schema import Dataset"),
        ("layers", "tricord.api", "from tricord.cli.app import app"),
        ("layers", "tricord.api", "from tricord import load"),
        ("layers", "tricord.models.cmc", "from . import released"),
        ("layers", "tricord.new_module", "import tricord.types"),
        ("purity", "tricord.nn.ema", "from pathlib import Path"),
        ("purity", "tricord.plgm", "import json"),
        ("purity", "tricord.nn.encoder", "from tricord.config import ModelConfig"),
        ("screen", "tricord.api", "print('x')"),
        ("screen", "tricord.api", "import sys\nsys.stdout.write('x')"),
        ("screen", "tricord.training.loop", "import typer"),
        ("screen", "tricord.report.html", "from rich.table import Table"),
        ("safety", "tricord.data.readers.mmsa", "import pickle\npickle.load(file)"),
        ("safety", "tricord.data.readers.mmsa", "from pickle import loads as read\nread(b'')"),
        ("safety", "tricord.data.readers.mmsa", "import pickle\nclass U(pickle.Unpickler): ..."),
        ("safety", "tricord.training.checkpoint", "import torch\ntorch.load('x')"),
        ("safety", "tricord.config", "eval('1')"),
        ("safety", "tricord.data.load", "import numpy as np\nnp.load('x', allow_pickle=True)"),
        ("safety", "tricord.features.language", "f(trust_remote_code=yes)"),
        ("safety", "tricord.data.load", "import urllib.request"),
        ("facade", "tricord", "import torch"),
        ("facade", "tricord", "from tricord.models import CMC"),
    ],
)
def test_a_broken_rule_is_seen(rule: str, module: str, source: str) -> None:
    assert list(RULES[rule](module, ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "module", "source"),
    [
        ("layers", "tricord.models.cmc", "from tricord.models import released"),
        ("layers", "tricord.api", "from tricord import presets"),
        ("layers", "tricord.data.splits", "from tricord.nn.ema import momentum_at"),
        ("purity", "tricord.nn.ema", "from tricord.nn.dropout import Dropout"),
        ("screen", "tricord.cli.console", "import rich\nprint('x')"),
        ("safety", "tricord.models.cmc", "model.eval()"),
        ("safety", UNPICKLER, "import pickle\nclass U(pickle.Unpickler): ..."),
        ("facade", "tricord", "if TYPE_CHECKING:\n    from tricord.models import CMC"),
    ],
)
def test_what_is_allowed_passes(rule: str, module: str, source: str) -> None:
    assert not list(RULES[rule](module, ast.parse(source)))


def test_the_maths_knows_no_data_set() -> None:
    for path in FILES:
        if module_name(path).startswith(PURE):
            text = path.read_text("utf-8").lower()
            assert not [name for name in ("sims", "mosi", "mosei") if name in text], path


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running this."""
    script = (
        f"{code}\nimport sys\nprint('\\n' + ' '.join({{m.split('.')[0] for m in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import tricord",
        "from tricord.cli import run\nassert run(['--help']) == 0",
        "from tricord.cli import run\nassert run(['--version']) == 0",
        "from tricord.cli import run\nassert run(['train', '--help']) == 0",
    ],
)
def test_help_needs_no_heavy_library(code: str) -> None:
    loaded = loaded_after(code)
    assert "tricord" in loaded
    assert not loaded & HEAVY
