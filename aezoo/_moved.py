"""Old names of moved modules, which keep working for one release, so that pickled objects load."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType

MOVED = {
    "aezoo.autoencoder": "aezoo.models.autoencoder",
    "aezoo.batch": "aezoo.training.batch",
    "aezoo.checks": "aezoo._validation",
    "aezoo.cli_codec": "aezoo.cli.codec",
    "aezoo.cli_evaluate": "aezoo.cli.evaluate",
    "aezoo.cli_models": "aezoo.cli.loading",
    "aezoo.cli_shelf": "aezoo.cli.presets",
    "aezoo.dispatch": "aezoo.training.execution",
    "aezoo.divergence": "aezoo.training.divergence",
    "aezoo.docstrings": "aezoo._docstrings",
    "aezoo.exporting": "aezoo.saving.export",
    "aezoo.gate": "aezoo.training.gate",
    "aezoo.layers.selection": "aezoo.layers._selection",
    "aezoo.layers.sketch_networks": "aezoo.layers._sketch_networks",
    "aezoo.layers.unit_rows": "aezoo.layers._unit_rows",
    "aezoo.loading": "aezoo.saving.loading",
    "aezoo.presets": "aezoo.saving.presets",
    "aezoo.pretraining.rbm": "aezoo.models.rbm",
    "aezoo.resuming": "aezoo.saving.resume",
    "aezoo.samples": "aezoo.training.samples",
    "aezoo.shelf": "aezoo.recipes",
    "aezoo.shelf.cards": "aezoo.recipes.cards",
    "aezoo.shelf.pictures": "aezoo.recipes.pictures",
    "aezoo.shelf.recipes": "aezoo.recipes.recipes",
    "aezoo.shelf.serving": "aezoo.recipes.serving",
    "aezoo.shelf.sources": "aezoo.recipes.sources",
    "aezoo.shelf.training": "aezoo.recipes.training",
    "aezoo.shelf.verifying": "aezoo.recipes.verifying",
    "aezoo.untrusted": "aezoo._untrusted",
    "aezoo.warmup": "aezoo.saving.warmup",
    "aezoo.workers": "aezoo.training.distribution",
    "aezoo.writing": "aezoo._files",
    "aezoo.zoo": "aezoo.cli.defaults",
}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Import hook that finds modules by their old names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        old = module.__name__
        warnings.warn(
            f"{old} has moved to {MOVED[old]}: import it from there, since the next release removes the old name.",
            DeprecationWarning,
            stacklevel=2,
        )
        sys.modules[old] = importlib.import_module(MOVED[old])  # the import system returns this entry


def install() -> None:
    """Make old names of modules importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())  # first, before a new package is searched for a module of an old name
