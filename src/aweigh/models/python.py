"""A Python function, ``module:function``: a DataFrame in, answers out. Its source travels, and runs where trusted.

The function gets a pandas DataFrame in the sample's types and gives an answer for each row, in order:

- a Series, list or one-dimensional array of numbers: a number each; of text or booleans: a class each;
- a DataFrame or two-dimensional array of numbers: several numbers, named by the DataFrame's columns.

``function.classes = [...]`` names the classes and their order; then whole numbers are classes, too, and a DataFrame
with a column for each class holds their probabilities. docs/how-to/serve-your-own-function.md shows each.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aweigh.bundle.names import CODE_FOLDER
from aweigh.errors import UnsupportedModel, UsageError
from aweigh.models.family import Described, Form, Predict, Way
from aweigh.models.python_answers import Misread, read_answers
from aweigh.models.python_fresh import Fresh
from aweigh.models.python_source import collect
from aweigh.models.python_world import load_function
from aweigh.schema.answers import Answers
from aweigh.schema.column import Output, Schema
from aweigh.table import Table

_HINT = (
    "import what the function needs of your project by statements, read its files with "
    "pkgutil.get_data(__name__, ...), and give the same row the same answer every time"
)
_INSTALLED = frozenset(("site-packages", "dist-packages"))


@dataclass(frozen=True, slots=True, eq=False)
class OwnFunction:
    """A function of the user's, ``entry``, imported from the project whose modules begin at ``root``."""

    call: Callable[..., Any]
    entry: str
    root: Path


def read(entry: str) -> OwnFunction:
    """The function ``module:function``, imported with the working folder on the path, as ``python -m`` would.

    Raises:
        UsageError: there is no such module or function.
        UnsupportedModel: the module is an installed one, whose source is not the user's to carry.
    """
    module_name, _, name = entry.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"There is no module {error.name!r}.",
            hint="call it from the project's folder, where python finds the module",
        ) from error
    except Exception as error:  # the user's own code may raise anything
        raise UsageError(
            f"The module {module_name!r} cannot be imported: {type(error).__name__}: {error}.",
            hint=f"python -c 'import {module_name}' shows where",
        ) from error
    function = getattr(module, name, None)
    if not callable(function):
        raise UsageError(
            f"The module {module_name!r} has no function {name!r}.",
            hint=f"it has {', '.join(one for one in vars(module) if not one.startswith('_'))[:200]}",
        )
    return OwnFunction(function, entry, _root(module_name, getattr(module, "__file__", None)))


def _root(module_name: str, file: str | None) -> Path:
    """The folder that the module's own name begins at."""
    path = None if file is None else Path(file).resolve()
    if path is None or path.suffix != ".py" or not _INSTALLED.isdisjoint(path.parts):
        raise UnsupportedModel(
            f"The module {module_name!r} is an installed one, not a file of your project.",
            hint="write a module of your own with a function that calls it, and pack that",
        )
    place = path.parent if path.name == "__init__.py" else path
    return place.parents[module_name.count(".")]


def describe(model: OwnFunction) -> Described:
    """What a function says of itself: its classes, where it has that attribute. The rest, its first answers tell."""
    classes = classes_of(model.call)
    task = Output(task="class", name="class", classes=classes) if classes else Output(task="number", name="value")
    return Described(f"your own function {model.entry}", task)


def classes_of(function: Callable[..., Any]) -> tuple[Any, ...]:
    """The classes that a function names, none when it names none.

    Raises:
        UnsupportedModel: they are no plain labels.
    """
    from aweigh.models.sklearn import plain_classes

    said = getattr(function, "classes", None)
    return () if said is None else plain_classes(list(said))


def predict(model: OwnFunction, table: Table, schema: Schema) -> Answers:
    """The function's own answers; what they are is told by them when the schema does not say yet.

    Raises:
        UnsupportedModel: it gave something that is no answer for each row.
    """
    try:
        return _ask(model.call, table, schema, settled=False)
    except Misread as error:
        raise UnsupportedModel(f"The function {model.entry} {error}.", hint=error.hint) from error


def _ask(function: Callable[..., Any], table: Table, schema: Schema, *, settled: bool) -> Answers:
    from aweigh.models.frame import table_to_frame

    if table.rows == 0:
        return Answers.empty(schema.output)
    # A copy: the function may change what it is given, and the table is not its own.
    frame = table_to_frame(table, schema.columns).copy()
    raw = function(frame)
    return read_answers(raw, table.rows, schema.output, classes=classes_of(function), settled=settled)


def widen(model: OwnFunction, output: Output, answers: Answers) -> Output:
    """The output once an answer was seen: what the answers themselves are of."""
    del model, output
    return answers.output


def ways(model: OwnFunction, schema: Schema) -> Iterator[Way]:
    """The function's source and what it imports from its project, run in a process that has nothing else of it."""

    def make() -> Form:
        collected = collect(model.entry.partition(":")[0], model.root)
        fresh = Fresh(collected.files, model.entry, schema, root=model.root)
        files = {CODE_FOLDER + name: data for name, data in collected.files.items()}
        first = next(name for name in files if name in _candidates(model.entry))
        data = files.pop(first)
        return Form("python", first, data, fresh.predict, extra=files, requirements=collected.requirements)

    yield Way("your own function, from the bundle's files alone", make, hint=_HINT)


def _candidates(entry: str) -> tuple[str, str]:
    place = CODE_FOLDER + entry.partition(":")[0].replace(".", "/")
    return f"{place}.py", f"{place}/__init__.py"


def load_code(read: Callable[[str], bytes], names: Iterable[str], entry: str, schema: Schema) -> Predict:
    """Serve the code of a bundle whose owner is trusted: ``read`` gives the bytes of each of its ``names``.

    Raises:
        DamagedBundle: the bundle's code has no such function.
        MissingExtra: pandas is not installed.
    """
    files = {name.removeprefix(CODE_FOLDER): read(name) for name in names if name.startswith(CODE_FOLDER)}
    return predictor(files, entry, schema)


def predictor(files: Mapping[str, bytes], entry: str, schema: Schema) -> Predict:
    """Answers from the code in these files, by path as in the project."""
    from aweigh.registry import require

    require("pandas", what="a function that takes a DataFrame", extra="sklearn")
    function = load_function(files, entry)
    return lambda table: _ask(function, table, schema, settled=True)
