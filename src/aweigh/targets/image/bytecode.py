"""Bytecode for an image: what Python would compile at each start, since it cannot keep it on a read-only root.

Run as a program by an interpreter of the image's version: ``python -I -S bytecode.py FOLDER``. It imports nothing but
the standard library. The same sources give the same bytes, in any folder and any process: no name of a file is in them
(Python puts the right one in when it imports), no reference that depends on what else the process holds (version 2 of
marshal has none), no time (PEP 552, unchecked).
"""

import importlib.util
import marshal
import sys
import warnings
from pathlib import Path

UNCHECKED = (1).to_bytes(4, "little")
"""Flags of a bytecode file that is named by a hash of its source, which nobody looks at again."""
PLAIN = 2
"""The version of marshal that writes every object where it stands."""


def compile_folder(folder: Path) -> tuple[int, list[str]]:
    """Writes the bytecode of every module below the folder; how many, and the names of those that do not compile."""
    warnings.simplefilter("ignore")  # of invalid escapes in other people's code
    count, failed = 0, []
    for source in sorted(folder.rglob("*.py")):
        try:
            content = source.read_bytes()
            code = compile(content, "", "exec", dont_inherit=True, optimize=0)
        except (SyntaxError, ValueError, RecursionError):  # templates and tests of tools that are no modules
            failed.append(source.relative_to(folder).as_posix())
            continue
        target = Path(importlib.util.cache_from_source(str(source), optimization=""))
        target.parent.mkdir(exist_ok=True)
        head = importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(content)
        target.write_bytes(head + marshal.dumps(code, PLAIN))
        count += 1
    return count, failed


if __name__ == "__main__":
    compiled, others = compile_folder(Path(sys.argv[1]))
    sys.stdout.write(f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} {compiled}\n")
