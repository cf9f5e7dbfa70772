"""The tree of errors is drawn whole: whoever looks for an error's class finds it in one place."""

import ast
import re
import traceback

from aweigh import errors


def test_every_error_is_in_the_tree_named_beside_it_or_in_a_file_of_errors(root):
    """A class counts as an error of ours when a base of it does, whatever file it stands in."""
    bases: dict[str, set[str]] = {}
    strays = set()
    for path in sorted((root / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                above = {ast.unparse(base).rpartition(".")[2] for base in node.bases}
                bases[node.name] = above | bases.get(node.name, set())
                strays |= {node.name} if path.name != "errors.py" else set()
    ours = {"AweighError"}
    while more := {name for name, above in bases.items() if above & ours} - ours:
        ours |= more
    assert len(ours) > 30
    named = set(re.findall(r"\b[A-Z]\w+\b", errors.__doc__ or ""))
    assert sorted((ours & strays) - named) == []
    heroku = (root / "src" / "aweigh" / "targets" / "heroku" / "errors.py").read_text(encoding="utf-8")
    assert sorted({*re.findall(r"^class (\w+)\(RemoteError\)", heroku, re.MULTILINE)} - named) == []


def test_the_tree_says_which_error_comes_of_which():
    drawn = re.findall(r"^    ([│ ]*)[├└]── (\w+)", errors.__doc__ or "", re.MULTILINE)
    above = ["AweighError"]
    for indent, name in drawn:
        depth = len(indent) // 4 + 1
        found = getattr(errors, name, None)
        if found is not None:
            assert found.__bases__ == (getattr(errors, above[depth - 1]),), name
        above[depth:] = [name]
    assert len(drawn) > 30


def test_python_shows_the_hint_below_the_traceback_and_the_message_stays_one_sentence():
    told = errors.UsageError("The port is no number.", hint="give one with --port")
    assert "".join(traceback.format_exception(told)).endswith("The port is no number.\nhint: give one with --port\n")
    assert str(told) == told.message == "The port is no number."
    told.hint = "give another"
    assert "".join(traceback.format_exception(told)).endswith("The port is no number.\nhint: give another\n")
    assert errors.UsageError("Nothing to add.").__notes__ == []
