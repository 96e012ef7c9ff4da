"""Executes notebooks and keeps their outputs, without what belongs to one machine or one moment.

    python notebooks/execute.py                          # all of them, in place
    python notebooks/execute.py notebooks/03*.ipynb      # one
    python notebooks/execute.py --output elsewhere       # without touching the notebooks

They take MNIST where it is prepared (`TFDS_DATA_DIR`), and the bundled digits elsewhere.
"""

import argparse
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def execute(path: Path) -> nbformat.NotebookNode:
    """Runs the notebook from its own folder, and raises at the first cell that fails or writes to stderr."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = NotebookClient(
        notebook,
        timeout=1800,  # of a cell
        record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],  # what TensorFlow's C++ logs is no output of a cell
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # the rest names a version
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise RuntimeError(f"{path.name} writes to stderr:\n{output.text}\nin the cell\n{cell.source}")
    return notebook


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default all in this folder")
    parser.add_argument("--output", type=Path, help="a folder for the executed notebooks; by default they are replaced")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks or sorted(HERE.glob("*.ipynb")):
        start = time.monotonic()
        notebook = execute(path)
        nbformat.write(notebook, options.output / path.name if options.output else path)
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
