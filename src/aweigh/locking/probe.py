"""Run by the Python under proof, in an environment of its own: imports what it is told and says what became of it.

Standard input holds ``{"modules": [...], "distributions": [...]}``; of a distribution its top-level modules are
imported. Standard output gets a line of JSON before each import, and one after it. It runs on Python 3.8, too.
"""

import importlib
import importlib.metadata
import json
import os
import sys


def tops(name: str) -> "set[str]":
    """Top-level modules of a distribution, by its files: those that can be named in an import."""
    found = set()
    for file in importlib.metadata.distribution(name).files or ():
        first = file.parts[0]
        module = first[:-3] if len(file.parts) == 1 and first.endswith(".py") else first
        package = len(file.parts) == 2 and file.parts[1] == "__init__.py"
        if (package or len(file.parts) == 1) and module.isidentifier() and not module.startswith("_"):
            found.add(module)
    return found


def main() -> None:
    """Import, and tell on a descriptor of its own: what the modules print goes to standard error."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    modules = set(asked["modules"])
    for name in asked["distributions"]:
        modules |= tops(name)
    for module in sorted(modules):
        told.write(json.dumps({"importing": module}) + "\n")
        told.flush()
        error = None
        try:
            importlib.import_module(module)
        except BaseException as caught:  # noqa: BLE001  SystemExit, too: whatever ends an import is its failure
            lines = str(caught).strip().splitlines() or [""]
            error = "{}: {}".format(type(caught).__name__, lines[-1])  # noqa: UP032
        told.write(json.dumps({"imported": module, "error": error}) + "\n")
        told.flush()
    told.close()
    os._exit(0)  # threads that an import has started are not waited for


if __name__ == "__main__":
    main()
