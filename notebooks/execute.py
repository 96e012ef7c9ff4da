"""Execute notebooks and store their outputs, without times, versions and names of one machine.

    python notebooks/execute.py                          # all of them, in place
    python notebooks/execute.py notebooks/03*.ipynb      # one
    python notebooks/execute.py --output elsewhere       # write copies, and leave the notebooks unchanged

They use MNIST if it is prepared (`TFDS_DATA_DIR`), and the bundled digits otherwise. Each runs in a kernel of its own,
a fork of one process that has only imported TensorFlow and other slow modules.
"""

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

HERE = Path(__file__).parent
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["aezoo.evaluation", "aezoo.plots", "ipykernel.kernelapp"])


def serve(connection_file: str) -> None:
    """Run a kernel."""
    from ipykernel.kernelapp import IPKernelApp

    os.chdir(HERE)
    options = {
        "connection_file": connection_file,
        "capture_fd_output": False,  # logs of TensorFlow's C++ are no output of a cell
        "parent_handle": os.getppid(),  # with which it ends
    }
    IPKernelApp.launch_instance([f"--IPKernelApp.{name}={value}" for name, value in options.items()])


class ForkedKernel(AsyncKernelManager):
    """Manager of a forked kernel."""

    process = None

    @property
    def has_kernel(self) -> bool:
        return self.process is not None

    async def start_kernel(self, **kwargs: object) -> None:
        self.write_connection_file()
        self.process = FORKS.Process(target=serve, args=(self.connection_file,))
        self.process.start()

    async def _async_is_alive(self) -> bool:
        return self.has_kernel and self.process.is_alive()

    is_alive = _async_is_alive  # the client asks by the one name, nbclient by the other

    async def shutdown_kernel(self, *args: object, **kwargs: object) -> None:
        self.process.terminate()
        self.process.join()
        await self.cleanup_resources()


def execute(path: Path) -> nbformat.NotebookNode:
    """Run the notebook in this folder; raise an error at the first cell that fails or writes to stderr."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    client = NotebookClient(
        notebook,
        timeout=1800,  # of a cell
        record_timing=False,
        kernel_manager_class=ForkedKernel,
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}  # the rest names a version
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                raise RuntimeError(f"{path.name} writes to stderr:\n{output.text}\nin the cell\n{cell.source}")
    return notebook


def main() -> int:
    """Execute the notebooks that the command names; return 1 if one of them failed, and leave that one as it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="by default all in this folder")
    parser.add_argument("--output", type=Path, help="a folder for the executed notebooks; by default they are replaced")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as a kernel does before imports
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    failed = False
    for path in options.notebooks or sorted(HERE.glob("*.ipynb")):
        start = time.monotonic()
        try:
            notebook = execute(path)
        except Exception as error:
            traceback.print_exception(error)
            failed = True
            continue
        nbformat.write(notebook, options.output / path.name if options.output else path)
        print(f"{path.name}: {time.monotonic() - start:.0f} s", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
