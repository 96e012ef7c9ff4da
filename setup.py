"""Puts the presets of `saved_models/` into a wheel, as `aezoo/saved_models/`; all else is in setup.cfg."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithPresets(build_py):
    """Builds the package, and takes of each preset what `from_preset` reads."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # a clone has them beside the package
            return
        for card in sorted(Path("saved_models").glob("*/card.json")):
            folder = Path(self.build_lib, "aezoo", card.parent)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy2(card.with_name("model.keras"), folder)
            content = json.loads(card.read_text(encoding="utf-8"))
            content["files"] = {"model.keras": content["files"]["model.keras"]}  # no other is taken along
            (folder / card.name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


setup(cmdclass={"build_py": BuildWithPresets})
