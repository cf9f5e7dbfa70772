"""The public face: what `aweigh` exports is sorted, complete, resolves to what it says, and is typed."""

import ast
import subprocess
import sys
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType

import aweigh


def test_the_list_of_exports_is_sorted_and_has_no_name_twice():
    assert list(aweigh.__all__) == sorted(set(aweigh.__all__))


def test_every_export_resolves():
    for name in aweigh.__all__:
        assert getattr(aweigh, name) is not None, name


def test_the_list_is_complete():
    """Whatever of ours can be reached on the package without an underscore is on the list, or is one of its modules."""
    public = {
        name
        for name in set(vars(aweigh)) | set(dir(aweigh))
        if not name.startswith("_")
        and not isinstance(getattr(aweigh, name), ModuleType)
        and str(getattr(getattr(aweigh, name), "__module__", "")).startswith("aweigh")
    }
    assert public - set(aweigh.__all__) == set()


def test_type_checkers_and_python_see_the_same_names():
    """Lazy names are imported a second time under TYPE_CHECKING: both lists hold the same."""
    tree = ast.parse(files(aweigh).joinpath("__init__.py").read_text(encoding="utf-8"))
    blocks = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    ]
    typed = {
        alias.asname or alias.name
        for block in blocks
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    eager = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    } | {name for name in vars(aweigh) if name.startswith("__")}
    assert set(aweigh.__all__) - eager == typed & set(aweigh.__all__)
    assert typed - set(aweigh.__all__) == set()


def test_no_module_takes_the_place_of_an_export():
    """Importing a module sets its name on the package: an export of the same name must survive that."""
    for name in aweigh.__all__:
        if not name.startswith("_") and find_spec(f"aweigh.{name}"):
            code = f"import aweigh, aweigh.{name}, types; print(isinstance(aweigh.{name}, types.ModuleType))"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
            assert done.stdout.strip() == "False", f"aweigh.{name} is the export or the module, whichever came last"


def test_completion_offers_the_exports_before_they_are_used():
    """In a fresh interpreter `dir(aweigh)` lists names that nothing has imported yet."""
    code = "import aweigh; print(sorted(set(aweigh.__all__) - set(dir(aweigh))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_a_name_that_is_not_there_is_an_attribute_error():
    assert not hasattr(aweigh, "no_such_name")


def test_the_package_says_that_it_is_typed():
    assert files(aweigh).joinpath("py.typed").is_file()
