"""The console script `aezoo`.

`import aezoo` imports Keras and TensorFlow, which takes seconds, since whoever has imported it may load any model. Here
the package begins empty, with no more of it imported than the command line, which fills it where a command needs it: so
`aezoo --help` does not wait, and what TensorFlow logs while it is imported is kept off the terminal.
"""

import importlib.util
import sys


def main() -> int:
    """Run the command line of `sys.argv`, and return the exit status."""
    spec = importlib.util.find_spec("aezoo")
    sys.modules["aezoo"] = importlib.util.module_from_spec(spec)
    from aezoo import cli

    return cli.main()
