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
CATS, PHOTOGRAPHS = "sketch/quickdraw_cat_stroke3.npz", "images/bsds500_train_gray.npz"
#: Results of scripts with one run each: the script, its files in the folder of `--data` by option, and other options.
SCRIPTS: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "rbm_pseudo_likelihood": ("rbm_pseudo_likelihood", {}, []),
    "sparse_dictionary": ("sparse_dictionary", {}, []),
    "compression": ("rate_distortion", {}, []),
    "compression_photographs": ("rate_distortion", {"--photographs": PHOTOGRAPHS}, []),
    "hyperprior": ("hyperprior", {"--photographs": PHOTOGRAPHS}, []),
    "ufldl_patches": ("ufldl", {"--photographs": PHOTOGRAPHS}, []),
    "sketch_rnn": ("sketch_rnn", {"--sketches": CATS}, []),
    "sketch_rnn_short_kanji": ("sketch_rnn", {"--sketches": "sketch/short_kanji.npz"}, ["--minutes", "12"]),
    "sketch_classes": ("sketch_classes", {"--sketches": CATS, "--words": "sketch/quickdraw345_stroke3.npz"}, []),
    "series": ("series", {"--ecg": "series/ecg5000/ecg5000.npz", "--nab": "series/nab"}, []),
    "text_names": ("text", {"--text": "text/names.txt.gz"}, []),
    "text_tatoeba_english": (
        "text",
        {"--text": "text/tatoeba_english.txt.gz"},
        ["--least", "12", "--longest", "28", "--lines", "6000", "--epochs", "10"],
    ),
}


def run_script(result: str, options: argparse.Namespace) -> None:
    """Run a script, unless its result is there already or a file that it needs is not."""
    script, files, others = SCRIPTS[result]
    found = list((HERE / "results").glob(f"{result}.json")) or list((HERE / "results").glob(f"{result}.png"))
    if not options.quick and found:
        print(f"{result}: results/{found[0].name} is there; delete it to run the script again.")
        return
    arguments = []
    for option, file in files.items():
        if options.data is None or not (options.data / file).exists():
            print(f"{result}: skipped, because it needs {file} in the folder of --data.")
            return
        arguments += [option, str(options.data / file)]
    sys.argv = [str(HERE / f"{script}.py"), *arguments, *others, *(["--quick"] if options.quick else [])]
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
    parser.add_argument(
        "--data", type=Path, help="folder of sketches, photographs, series and texts; tables that need them skip"
    )
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
