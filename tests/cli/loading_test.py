"""Models, classes and data sets, as commands are given them."""

import sys

import pytest

import aezoo
from aezoo.cli import loading

PLAIN = "import aezoo\n\n\nclass MyAE(aezoo.Autoencoder):\n    pass\n"


def test_a_class_of_the_zoo_and_one_of_a_module(own_module):
    assert loading.model_class("SparseAE") is loading.model_class("aezoo:SparseAE") is aezoo.SparseAE
    own_module("loading_mine.models")
    cls = loading.model_class("loading_mine.models:MyAE")
    assert issubclass(cls, aezoo.Autoencoder) and cls.__module__ == "loading_mine.models"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (
            None,
            "loading_none:MyAE",
            "There is no module 'loading_none', neither installed nor in the",
        ),
        (None, "loading_none.models:MyAE", "There is no module 'loading_none.models'"),
        (None, "loading_none.py:MyAE", "There is no module 'loading_none.py'.* write it as in an import"),
        (None, ":MyAE", "There is no module ''"),
        (None, "loading_mine/models:MyAE", "There is no module 'loading_mine/models'"),
        (
            "import loading_none\n",
            "loading_mine:MyAE",
            "'loading_mine' cannot be imported: ModuleNotFoundError: No",
        ),
        ("1 / 0\n", "loading_mine:MyAE", "'loading_mine' cannot be imported: ZeroDivisionError: division by zero"),
        ("def f(:\n", "loading_mine:MyAE", "'loading_mine' cannot be imported: SyntaxError"),
        (PLAIN, "loading_mine:MyEA", "has no class 'MyEA' that extends aezoo.Autoencoder; it has MyAE"),
        (PLAIN, "loading_mine:aezoo", "has no class 'aezoo' that extends aezoo.Autoencoder; it has MyAE"),
        ("class A:\n    pass\n", "loading_mine:A", "has no class 'A' that extends aezoo.Autoencoder; it has none"),
        (PLAIN, "loading_mine:MyAE", r"MyAE is not registered, .*: put @keras.*\('loading_mine'\) above the class"),
    ],
)
def test_wrong_names_are_one_sentence(own_module, text, name, message):
    if text is not None:
        own_module("loading_mine", text)
    with pytest.raises(ValueError, match=message) as raised:
        loading.model_class(name)
    assert "\n" not in str(raised.value)


def test_the_working_directory_comes_first_once(own_module, tmp_path):
    for name in ("loading_first", "loading_second"):
        own_module(name, "")
        loading.import_module(name)
    assert sys.path[0] == str(tmp_path) and sys.path.count(str(tmp_path)) == 1


def test_the_data_that_a_model_learns_from():
    assert loading.data_loader(aezoo.SparseAE) is aezoo.datasets.load
    assert loading.data_loader(aezoo.SketchRNN(2)) is aezoo.sketches.load

    class Reader(aezoo.Autoencoder):
        data = "tokens"

    for model in (Reader, Reader(2)):
        with pytest.raises(ValueError, match="Reader learns from tokens, for which aezoo has no data sets"):
            loading.data_loader(model)
