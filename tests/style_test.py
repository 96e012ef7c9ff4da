"""Every docstring, message, comment and page keeps the rules of style that a machine can check."""

import ast
import io
import json
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]


class Text(NamedTuple):
    """A piece of prose. `kind`: function, class, property, module, attribute, message, comment or page."""

    line: int
    kind: str
    text: str
    where: str = ""


class Rule(NamedTuple):
    """A pattern that prose must not match, and what to write instead."""

    pattern: re.Pattern[str]
    advice: str
    kinds: frozenset[str] | None = None
    opening: bool = False  # match at the start of the text only


def rule(pattern, advice, *, kinds=None, opening=False, flags=re.IGNORECASE):
    """Return a rule whose pattern matches across line breaks."""
    compiled = re.compile(pattern.replace(" ", r"\s+"), flags)
    return Rule(compiled, advice, None if kinds is None else frozenset(kinds), opening)


# === Rules ===

_DOCSTRINGS = ("function", "class", "property", "module", "attribute")
# What is counted, and what it is counted by: "bits a pixel".
_COUNTED = (
    r"(?:nats?|bits?|(?:kilo|mega)?bytes?|[kKMG]i?B|ms|[mµ]?seconds?|minutes|hours|errors?|values?|samples?|steps?|"
    r"epochs|images|files?|calls?|times|once|twice|one|two|three|losses|loss|cost|parameters|weights|units|numbers?|"
    r"points|passes|evaluations|operations|\d+)"
)
_UNIT = (
    r"(?:pixels?|samples?|digits?|batch|epochs?|steps?|sketch|images?|files?|models?|points?|features?|units?|values?|"
    r"lines?|seconds?|minutes?|hours?|days?|dimensions?|symbols?|class|words?|tokens?|process|replicas?|devices?|GPU|"
    r"call|row|column|character|parameter|layer|channel|patch|photograph|face|preset|variant)"
)
_AMERICAN = {
    r"colou?rise\w*|colouri[sz]\w*|colour\w*": "color",
    r"\w*behaviour\w*": "behavior",
    r"neighbour\w*": "neighbor",
    r"favour\w*": "favor",
    r"honour\w*": "honor",
    r"grey(?:s|ish|scale)?": "gray",
    r"centre[ds]?|centring|centrings": "center, centered, centering",
    r"fibres?|metres?|litres?|theatres?": "-er, not -re",
    r"(?:un)?(?:mod|lab|canc|trav|sign|lev|chann)ell(?:ed|ing|er)": "one l: modeled, labeled, canceled",
    r"analys(?:e|ed|ing)": "analyze",
    r"licences?": "license",
    r"defence|offence|pretence": "-se: defense",
    r"artefacts?": "artifact",
    r"programmes?": "program",
    r"judgement|acknowledgement": "judgment, acknowledgment",
    r"whilst|amongst": "while, among",
    r"learnt|spelt|burnt|leant": "learned, spelled, burned",
    r"fulfil|enrol|instil": "fulfill, enroll",
    r"sceptic\w*": "skeptic",
    r"mouldy?|moulds|plough\w*|ageing": "mold, plow, aging",
    r"practis\w+": "practice",
    r"towards": "toward",
}
_ISE_STEMS = (
    "anonym apolog authort binar categor character critic crystall custom discret emphas equal factor final general "
    "harmon ideal initial item jeopard linear local marginal maxim memor minim monopol normal optim organ orthogonal "
    "parallel parameter parametr penal personal polar popular prior prioritis? quant random rasteri? real recogn "
    "regular reorgan seriali? serial special stabil standard steril summar symbol synchron synthes token util vector "
    "visual vocal weapon"
).split()
_ISE = rf"(?:un|re|de|over|in|pre)?(?:{'|'.join(_ISE_STEMS)})(?:it)?is(?:e[drs]?|ing|ations?|able|er)"
# Lower case is right in code: quoted, dotted, underscored or called. Those are left alone.
_NAMES = (
    "adam|bayes|bayesian|bernoulli|boltzmann|cauchy|euclidean|euler|fourier|frobenius|gauss|gaussian|gibbs|glorot|"
    "hadamard|hessian|hutchinson|jacobian|jensen|laplace|laplacian|lipschitz|markov|monte carlo|nesterov|newton|"
    "poisson|polyak|rademacher|taylor"
)

RULES = [
    # Openings of docstrings.
    rule(
        r"(?:what|whether|that|those|the ones?|which|how|where|when|if|who)\b(?! is new)",
        'open with the point: an imperative for a function ("Return …"), a noun phrase for a class or property',
        kinds=_DOCSTRINGS,
        opening=True,
    ),
    rule(
        r"(?:the|an?|as|of|one|each|every|all|both|no|nothing|it|this|these|is|has|by|in|from|to|with|for)\b",
        'open a function\'s docstring with an imperative: "Return the …", "Compute …", "Draw …"',
        kinds=["function"],
        opening=True,
    ),
    rule(
        r"(?![A-Z]\w*(?:ss|us|is)\b)[A-Z][a-z]+s\b",
        'use the imperative: "Return", not "Returns"',
        kinds=["function"],
        opening=True,
        flags=0,
    ),
    rule(
        r"(?:adds|applies|builds|computes|corrupts|does|draws|goes|holds|keeps|lets|makes|minimizes|passes|puts|reads|"
        r"reconstructs|reports|returns|rounds|saves|sets|shows|subtracts|takes|tells|trains|turns|warns|writes)\b",
        'open the docstring of a class with a noun: "Layer that …", "Sparse autoencoder: …"',
        kinds=["class"],
        opening=True,
    ),
    rule(
        r"^[ ]*\*{0,2}\w+: (?:what (?!to\b)|that\b|those\b|how much\b|the one\b)",
        'open an argument\'s description with its noun: "Number of …", "Variance of …", "Whether to …"',
        kinds=_DOCSTRINGS,
        flags=re.IGNORECASE | re.MULTILINE,
    ),
    # Missing nouns.
    rule(r"\b(?:that|those) of\b", 'repeat the noun: "the variance of", not "that of"'),
    rule(r"\b(?:of|than|beside|behind|before|besides) which\b", 'start a new clause: no "of which", "than which"'),
    rule(r"\bthe ones? (?:of|that)\b", "repeat the noun"),
    # Riddles.
    rule(r"\bwhat (?:is (?:wanted|needed|meant|asked)|there is|it takes)\b", "name the thing"),
    rule(r"\b(?:by|in|of) (?:itself|themselves)\b", 'write "automatically", "on its own" or "alone", or leave it out'),
    rule(r"\b(?:goes|going|go|went) on\b(?! to\b)", 'write "continue" or "resume"'),
    rule(r"\bknows\b", 'code has, supports or accepts; it does not "know"'),
    rule(r"\blies?\b", 'write "is" or "is in"; files "ship with" something'),
    rule(r"\b(?:in|into) the hands? of\b", "name the relation"),
    rule(r"\bgives? back\b", 'write "return"'),
    rule(r"\bit(?:self)? says\b(?! in)", "say who reports what"),
    rule(r"\bshel(?:f|ves)\b", 'write "presets"'),
    # "per".
    rule(
        rf"\b{_COUNTED} an? {_UNIT}\b(?! (?:is|has|was|exists|does|were|are|that|whose|of)\b)",
        'write "per": bits per pixel, one file per model',
        flags=0,
    ),
    # Errors.
    rule(r"\b(?:is|are|be) an? `*\w*(?:Error|Warning)\b", '"raises `ValueError`", not "is a `ValueError`"', flags=0),
    # Spelling.
    *(rule(rf"\b(?:{british})\b", f"American spelling: {american}") for british, american in _AMERICAN.items()),
    # The title of Kim & Mnih is as they wrote it.
    rule(rf"\b(?!factorising\W{{1,3}}ICML){_ISE}\b", "American spelling: -ize"),
    rule(
        rf"""(?<![\w./"'`=<-])(?:{_NAMES})(?![\w/"`(=]|[.-]\w|'(?!s\b))""",
        "a proper name has a capital: Gaussian, Bernoulli, Jacobian",
        flags=0,
    ),
]


def problems(text: Text) -> list[tuple[int, str, str]]:
    """Return line, matched words and advice for each rule that a text breaks."""
    found = []
    for pattern, advice, kinds, opening in RULES:
        if kinds is not None and text.kind not in kinds:
            continue
        for match in [pattern.match(text.text)] if opening else pattern.finditer(text.text):
            if match:
                # A pattern may begin with the line break before its first word.
                start = match.start() + len(match[0]) - len(match[0].lstrip())
                line = text.line + text.text.count("\n", 0, start)
                found.append((line, " ".join(match[0].split()), advice))
    return found


# === Readers ===


def masked(text: str) -> str:
    """Return a text of the same length and lines in which code, addresses and doctests match no rule."""

    def blank(match):
        return re.sub(r"[^\n]", "·", match[0])

    text = re.sub(r"^[ >]*(```+|~~~+).*?^[ >]*\1", blank, text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"<!--.*?-->|https?://[^\s)>\]]+|\]\([^)\s]*\)|<[^>\n]+>", blank, text, flags=re.DOTALL)
    text = re.sub(r"(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", _code, text, flags=re.DOTALL)
    # A doctest, with its output, ends at an empty line.
    return re.sub(r"^[ ]*>>> .*?(?=^\s*$|\Z)", blank, text, flags=re.MULTILINE | re.DOTALL)


def _code(match):
    return match[0] if re.fullmatch(r"`+\w*(?:Error|Warning)`+", match[0]) else re.sub(r"[^\n]", "·", match[0])


def python(source: str) -> list[Text]:
    """Return the docstrings, the messages (strings of several words) and the comments of a module."""
    tree = ast.parse(source)
    documented = {}  # the node of a docstring → its kind
    for node in ast.walk(tree):
        for previous, statement in _statements(node):
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                documented[statement.value] = _kind(node, previous)
    texts = []
    inner = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else "·" for part in node.values]
            text = "".join(map(str, parts))
            if " " in text.strip():
                texts.append(Text(node.lineno, "message", masked(text)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in inner:
            kind = documented.get(node, "message")
            if kind != "message" or " " in node.value.strip():
                texts.append(Text(node.lineno, kind, masked(node.value)))
    return texts + _comments(source)


def _statements(node):
    body = getattr(node, "body", None)
    return list(zip([None, *body], body, strict=False)) if isinstance(body, list) else []


def _kind(node, previous):
    if previous is not None:
        return "attribute"
    if isinstance(node, ast.Module):
        return "module"
    if isinstance(node, ast.ClassDef):
        return "class"
    decorators = {ast.unparse(decorator) for decorator in getattr(node, "decorator_list", ())}
    return "property" if any("property" in name for name in decorators) else "function"


def _comments(source):
    """Return comments; those on lines that follow one another are one text."""
    texts, last = [], None
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#!|# (?:type|noqa|ruff|mypy|fmt)\b", token.string):
            (line, column), words = token.start, token.string.lstrip("# ")
            if last == (line - 1, column):
                texts[-1] = texts[-1]._replace(text=f"{texts[-1].text}\n{words}")
            else:
                texts.append(Text(line, "comment", words))
            last = line, column
    return [text._replace(text=masked(text.text)) for text in texts]


def notebook(source: str) -> list[Text]:
    """Return the Markdown cells and the comments of code cells of a notebook."""
    texts = []
    for number, cell in enumerate(json.loads(source)["cells"]):
        content = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            texts.append(Text(1, "page", masked(content), f"cell {number}, "))
        elif cell["cell_type"] == "code":
            content = re.sub(r"^[!%].*$", "", content, flags=re.MULTILINE)
            texts += [text._replace(where=f"cell {number}, ") for text in python(content)]
    return texts


def texts_of(path: Path) -> list[Text]:
    """Return the prose of a file."""
    source = path.read_text(encoding="utf-8")
    readers = {".py": python, ".ipynb": notebook, ".md": lambda source: [Text(1, "page", masked(source))]}
    return readers[path.suffix](source)


def files() -> list[Path]:
    """Return the files whose prose has a style."""
    patterns = ("aezoo/**/*.py", "*.md", "docs/**/*.md", "notebooks/*.md", "notebooks/*.ipynb", "saved_models/*/*.md")
    patterns += ("benchmarks/**/*.md",)
    left_out = {"CHANGELOG.md", "RELEASING.md", "SECURITY.md"}
    return sorted(path for pattern in patterns for path in ROOT.glob(pattern) if path.name not in left_out)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# === Tests ===


@pytest.mark.parametrize("path", files(), ids=name)
def test_the_prose_of_a_file(path):
    found = sorted({(text.where, *problem) for text in texts_of(path) for problem in problems(text)})
    assert not found, "\n" + "\n".join(
        f"{name(path)}:{where}{line}: {words!r}: {advice}" for where, line, words, advice in found
    )


def test_the_lines_of_a_page_have_at_most_120_characters():
    """Except tables, pictures and blocks of code; model cards and RESULTS.md are written by programs."""
    found = []
    for path in [*ROOT.glob("*.md"), *files()]:
        if path.suffix == ".md" and path.name != "RESULTS.md" and path.parents[1].name != "saved_models":
            text = re.sub(r"^ *(```+).*?^ *\1", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
            found += [f"{name(path)}: {line}" for line in text.splitlines() if len(line) > 120 and line[0] not in "|!"]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        ("function", "Returns the mean.", "imperative"),
        ("function", "The mean.", "imperative"),
        ("function", "A batch in the hands of one replica.", "imperative"),
        ("function", "Whether a callback does something.", "open with the point"),
        ("property", "Whether a callback does something.", "open with the point"),
        ("class", "What there is to say about a model.", "open with the point"),
        ("class", "Rounds a code to integers.", "a noun"),
        ("class", "A layer.\n\nArgs:\n    variance: That of the Gaussian.", "argument's description"),
        ("class", "A layer.\n\nArgs:\n    beta: How much.", "argument's description"),
        ("message", "The shape is that\nof an encoder.", "repeat the noun"),
        ("comment", "an encoder, of which the first", "of which"),
        ("page", "started again, it goes on", "resume"),
        ("page", "0.5 nats a pixel", "per"),
        ("page", "bits per pixel, one file a\nmodel", "per"),
        ("page", "12 ms a sample", "per"),
        ("page", "Damaged bytes are a `ValueError`.", "raises"),
        ("class", "Raises something that is a ValueError.", "raises"),
        ("page", "the colour of a neighbour", "color"),
        ("comment", "minimises the loss", "-ize"),
        ("comment", "a normalisation", "-ize"),
        ("comment", "initialised, unlabelled", "one l"),
        ("page", "a gaussian likelihood", "capital"),
        ("page", "the jacobian's norm", "capital"),
        ("message", "expected a hessian.", "capital"),
    ],
)
def test_a_rule_finds_what_it_is_for(kind, text, advice):
    assert any(advice in found for _, _, found in problems(Text(1, kind, masked(text))))


# One text for each rule on words, in the order of `RULES`.
FAULTS = """
the variance is that of the noise
layers, of which the first is wide
the layer is the one that is tied
here is what is wanted
the model does it by itself
training goes on from there
the model knows its range
the files lie beside it
in the hands of a replica
the verb gives back an array
it says where
models of the shelf
bits a pixel
the error is a ValueError
the colour of it
the behaviour of it
one neighbour
in favour of it
to honour it
a grey picture
the centre
a fibre
a labelled sample
to analyse it
a licence
in defence of it
an artefact
a programme
a judgement
whilst it trains
it has learnt
to fulfil it
a sceptic
mouldy
to practise it
towards zero
to minimise it
a gaussian prior
""".strip().splitlines()


def test_every_rule_on_words_finds_a_fault():
    on_words = [each for each in RULES if each.kinds is None]
    assert len(on_words) == len(FAULTS)
    for each, fault in zip(on_words, FAULTS, strict=True):
        assert each.pattern.search(masked(fault)), each


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("function", "Return the mean."),
        ("function", "Compress samples, bits per pixel."),
        ("function", "Focus on it."),
        ("property", "Gaussian mean, or None before the model is built."),
        ("class", "A layer.\n\nArgs:\n    tied: Whether to tie.\n    missing: What to do with NaN.\n    a: 3 samples."),
        ("message", "likelihood: expected 'gaussian' or `bernoulli`, not ·."),
        ("page", "```\nthat of nats a pixel\n```\n[color](the_colour.md) `that of` <img alt='colour'>"),
        ("class", "A loss.\n\nExample:\n    >>> colour()\n    'colour'\n"),
        ("comment", "once a batch has arrived; one a user gave; otherwise precise, an exercise, supervised"),
        ("comment", "keras.optimizers.adam, optimizer=adam, adam_test, 'adam', optimistic"),
        ("page", "Damaged bytes raise `ValueError`."),
    ],
)
def test_good_prose_passes(kind, text):
    assert problems(Text(1, kind, masked(text))) == []


def test_python_is_read_whole():
    source = '''"""Module."""
X = 3
"""Attribute."""
class A:
    """Class."""
    @property
    def p(self):
        """Property."""
    def f(self, x):
        """Function.

        More of it."""
        # A comment
        # of two lines.
        y = "word"  # Beside code.
        raise ValueError(f"Not {x} but {y}: " "a message.")
'''
    assert {(text.line, text.kind, text.text) for text in python(source)} == {
        (1, "module", "Module."),
        (3, "attribute", "Attribute."),
        (5, "class", "Class."),
        (8, "property", "Property."),
        (10, "function", "Function.\n\n        More of it."),
        (13, "comment", "A comment\nof two lines."),
        (15, "comment", "Beside code."),
        (16, "message", "Not · but ·: a message."),
    }
    assert problems(Text(10, "comment", "one\ntwo, that of three"))[0][0] == 11


def test_a_notebook_is_read_by_cell():
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "bits a pixel"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "x = 1  # grey\n"]},
    ]
    texts = notebook(json.dumps({"cells": cells}))
    assert [(text.where, problems(text)[0][0]) for text in texts] == [("cell 0, ", 2), ("cell 1, ", 2)]
