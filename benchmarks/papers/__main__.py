"""Run the tables of the papers.

    TFDS_DATA_DIR=... python -m benchmarks.papers --all
    TFDS_DATA_DIR=... python -m benchmarks.papers --only k_sparse rifai2011 --minutes 60

Each table is one file in benchmarks/papers/results, which is written again after each run. An interrupted command
continues where it stopped, a finished table is left as it is, and a row whose configuration in configurations.py has
changed runs again. `python benchmarks/results.py` then writes the documents.
"""

from __future__ import annotations

import argparse
import importlib
import runpy
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

#: Tables that run row by row; each is a module with a `TABLE`.
TABLES = (
    "k_sparse",
    "rifai2011",
    "vae",
    "priors",
    "rbm_likelihood",
    "dbn_likelihood",
    "vincent2010",
    "ufldl",
    "tangents",
    "hinton2006",
    "deep_classifiers",
)
#: Scripts with one run each, the result that they write, and their files in the folder of `--data`.
SCRIPTS = {
    "rbm_pseudo_likelihood": ("rbm_pseudo_likelihood", {}),
    "sparse_dictionary": ("sparse_dictionary", {}),
    "rate_distortion": ("compression", {}),
    "hyperprior": ("hyperprior", {"--photographs": "images/bsds500_train_gray.npz"}),
    "sketch_rnn": ("sketch_rnn", {"--sketches": "sketch/quickdraw_cat_stroke3.npz"}),
    "sketch_classes": (
        "sketch_classes",
        {"--sketches": "sketch/quickdraw_cat_stroke3.npz", "--words": "sketch/quickdraw345_stroke3.npz"},
    ),
    "series": ("series", {"--ecg": "series/ecg5000/ecg5000.npz", "--nab": "series/nab"}),
    "text": ("text_names", {"--text": "text/names.txt.gz"}),
}


def run_script(name: str, options: argparse.Namespace) -> None:
    """Run a script, unless its result is there already or a file that it needs is not."""
    result, files = SCRIPTS[name]
    if not options.quick and (HERE / "results" / f"{result}.json").exists():
        print(f"{name}: results/{result}.json is there; delete it to run the script again.")
        return
    arguments = []
    for option, file in files.items():
        if options.data is None or not (options.data / file).exists():
            print(f"{name}: skipped, because it needs {file} in the folder of --data.")
            return
        arguments += [option, str(options.data / file)]
    sys.argv = [str(HERE / f"{name}.py"), *arguments, *(["--quick"] if options.quick else [])]
    runpy.run_path(sys.argv[0], run_name="__main__")


def main() -> None:
    """Run the chosen tables."""
    import runner
    from reporting import Clock

    parser = runner.parser(__doc__)
    parser.prog = "python -m benchmarks.papers"
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--all", action="store_true", help="run every table")
    chosen.add_argument("--only", nargs="+", choices=[*TABLES, *SCRIPTS], metavar="TABLE", help="run these tables")
    parser.add_argument("--data", type=Path, help="folder of sketches, series and texts; tables that need them skip")
    options = parser.parse_args()
    names = options.only or [*TABLES, *SCRIPTS]
    clock = Clock()
    for name in names:
        if name in TABLES:
            (runner.run_trials if options.trials else runner.run_table)(
                importlib.import_module(name).TABLE, options, clock
            )
        elif not options.trials and clock.minutes < options.minutes:
            run_script(name, options)


if __name__ == "__main__":
    main()
