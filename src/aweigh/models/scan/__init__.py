"""What a model file would import, read without loading it; and loading that imports that and nothing else.

``scan`` reads, ``check`` compares with the lists of exact names, ``load_trusted`` loads the very bytes that it has
checked. "Could not read" is a refusal. Until the check has passed, nothing of the file is called and no module that it
names is imported.

What this holds and what not: a file that passes imports listed names, calls the listed ones among them, and describes
numpy's types truthfully, so it runs no code of its author's. It does not judge numbers: a tree whose nodes point
outside of it may still end the process that asks it for an answer.
"""

from aweigh.models.scan.limits import Limits
from aweigh.models.scan.scan import Scan, scan, scan_bytes
from aweigh.models.scan.trusted import FAMILIES, trusted_calls, trusted_names
from aweigh.models.scan.verdict import Listed, check, check_listed, load_listed, load_trusted, load_trusted_bytes

__all__ = [
    "FAMILIES",
    "Limits",
    "Listed",
    "Scan",
    "check",
    "check_listed",
    "load_listed",
    "load_trusted",
    "load_trusted_bytes",
    "scan",
    "scan_bytes",
    "trusted_calls",
    "trusted_names",
]
