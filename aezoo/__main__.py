"""Command line of aezoo, as `python -m aezoo`."""

import sys

from aezoo.cli import main

sys.exit(main())
