"""No secret leaves with a bundle: all its texts are looked through, and every byte for this environment's own.

The texts are the card, the schema, the golden rows, what ``aweigh.toml`` says, the locks and all code. Of a model's own
file, which holds numbers, only the environment's own secrets are looked for.
"""

from collections.abc import Mapping

from aweigh.bundle.names import CODE_FOLDER, MODEL_FOLDER
from aweigh.errors import HoldsSecret
from aweigh.secret.scan import find_secrets, own_secrets

MOST_LISTED = 10
_SAID = {
    "card.md": "its texts come from aweigh.toml",
    "manifest.json": "its texts come from aweigh.toml",
    "schema.json": "titles and descriptions come from aweigh.toml, categories from the sample",
    "examples.json": "golden rows come from the sample",
    "profile.json": "its values come from the sample",
}
_SAMPLE = frozenset({"schema.json", "examples.json", "profile.json"})


def refuse_secrets(files: Mapping[str, bytes], *, environ: Mapping[str, str]) -> None:
    """Passes when no file holds a secret.

    Raises:
        HoldsSecret: naming each file, line and kind, and none of the secrets.
    """
    own = own_secrets(environ)
    found = []
    for name in sorted(files):
        if is_text(name):
            finds = find_secrets(files[name].decode("utf-8", "replace"), name=name, own=own)
            found += [(name, f"{name}, line {one.line}: {one.kind}") for one in finds]
        else:
            there = [variable for value, variable in own.items() if value.encode() in files[name]]
            found += [(name, f"{name}: the value of this environment's {variable}") for variable in there]
    if found:
        raise HoldsSecret(_sentence([told for _, told in found]), hint=_hint(found[0][0]))


def is_text(name: str) -> bool:
    """Whether a bundle's file is read by people: all but models and arrays."""
    if not name.startswith(MODEL_FOLDER):
        return True
    return name.endswith(".py") or (name.startswith(CODE_FOLDER) and not name.endswith((".npy", ".npz")))


def _sentence(told: list[str]) -> str:
    listed = "; ".join(told[:MOST_LISTED])
    more = f"; and {len(told) - MOST_LISTED} more" if len(told) > MOST_LISTED else ""
    return f"The bundle would hold a secret: {listed}{more}."


def _hint(name: str) -> str:
    if name in _SAMPLE:
        return (
            f'{_SAID[name]}: take it out, or mark its column with personal = "drop" under [columns.NAME] in aweigh.toml'
        )
    if name in _SAID:
        return f"{_SAID[name]}: take it out there"
    return (
        "take it out, and read it from the environment where it is used; of a line of code that only looks so, say at "
        "its end: # aweigh: no secret (and why)"
    )
