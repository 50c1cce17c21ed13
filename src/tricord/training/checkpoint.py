"""Files of a run: nested states as one safetensors file, JSON; written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tricord.errors import ModelError
from tricord.files import write_atomically


def write_json(path: Path, content: Any) -> None:
    """Plain values as indented JSON; raises ValueError for NaN and infinity."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def read_json(path: Path) -> Any:
    """The file's content; raises ModelError where there is none or it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: file not found, a run's JSON file expected") from None
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from None


def save_tree(path: Path, tree: Any) -> None:
    """Nested dicts and lists of tensors and plain values as one safetensors file.

    Tensors on the CPU are written from where they lie, without a copy in memory.
    """
    tensors: dict[str, Tensor] = {}
    outline = json.dumps(_outline(tree, tensors))
    _separate(tensors)
    write_atomically(path, lambda p: save_file(tensors, p, metadata={"tree": outline}))


def load_tree(path: Path) -> Any:
    """What `save_tree` wrote; raises ModelError where the file is missing or broken.

    Tensors are mapped: their memory is taken when they are read, and a change of them stays in
    memory. The file may be replaced meanwhile, but must not be changed in place.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return _rebuild(json.loads(metadata["tree"]), tensors)
    except FileNotFoundError:
        raise ModelError(f"{path}: file not found, a run's safetensors file expected") from None
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise ModelError(f"{path}: not a state that tricord wrote ({error})") from None


def _outline(node: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(node, Tensor):
        tensors[str(len(tensors))] = node.detach().cpu().contiguous()
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(node, Mapping):
        return {"dict": [[key, _outline(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list": [_outline(value, tensors) for value in node]}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"{type(node).__name__} cannot be saved")


def _separate(tensors: dict[str, Tensor]) -> None:
    """Copy those that share memory with an earlier one, which safetensors refuses."""
    seen: set[int] = set()
    for name, tensor in tensors.items():
        storage = tensor.untyped_storage().data_ptr()
        if storage in seen:
            tensors[name] = tensor.clone()
        seen.add(storage)


def _rebuild(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        return node
    if "tensor" in node:
        return tensors[node["tensor"]]
    if "list" in node:
        return [_rebuild(value, tensors) for value in node["list"]]
    return {key: _rebuild(value, tensors) for key, value in node["dict"]}


def generators() -> dict[str, Any]:
    """The state of every random generator that training may draw from: torch's, and CUDA's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"torch": torch.get_rng_state(), "cuda": cuda}


def restore_generators(state: Mapping[str, Any]) -> None:
    """Set what `generators` gave; of cards, those that are here too."""
    torch.set_rng_state(state["torch"].to(torch.uint8))
    for card, of_card in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):
        torch.cuda.set_rng_state(of_card.to(torch.uint8), card)
