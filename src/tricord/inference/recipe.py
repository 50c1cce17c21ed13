"""Whether clips were measured as a model's training data were."""

from __future__ import annotations

from tricord.clips.recipe import Recipe
from tricord.data.schema import Dataset
from tricord.errors import ModelError
from tricord.features.text import TEXT
from tricord.training.trained import TrainedModel, recipe_of


def reads_words(trained: TrainedModel) -> bool:
    """Whether the model has a language model of its own, so that the recipe's text is not used."""
    return trained.config.text.encoder is not None


def recipe_needed(trained: TrainedModel) -> Recipe:
    """The recipe of the model's training data; raises ModelError where it has none."""
    if trained.recipe is None:
        raise ModelError(
            f"{trained.name}: was trained on ready features and does not know how they were made: "
            "a media file cannot be measured for it; give a feature file, or train on a data set "
            "made by tricord extract"
        )
    return trained.recipe


def check_recipe(trained: TrainedModel, data: Dataset) -> tuple[str, ...]:
    """Compare what both say of the modalities that the model reads and the data has.

    Returns a line for every tool whose version differs; nothing where one of them says nothing.
    Raises ModelError that names each setting or column that differs.
    """
    ours, theirs = trained.recipe, recipe_of(data)
    if ours is None or theirs is None:
        return ()
    names = [n for n in trained.widths if n in ours.parts and n in theirs.parts]
    names = [n for n in names if not (n == TEXT and reads_words(trained))]
    found = _only(ours, names).differences(_only(theirs, names))
    if found.settings:
        raise ModelError(
            f"{data.source}: not measured as the data of {trained.name} were (here: the model's "
            f"recipe, there: this data's): {'; '.join(found.settings)}"
        )
    return found.tools


def _only(recipe: Recipe, names: list[str]) -> Recipe:
    return Recipe(name=recipe.name, **{name: recipe.parts[name] for name in names})
