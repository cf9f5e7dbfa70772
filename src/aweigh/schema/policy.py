"""The policy: what becomes of a row that lies outside what the model has seen, by column and for combinations.

``flag`` answers and warns, ``reject`` refuses the row, ``ignore`` does not look. The owner says it in ``aweigh.toml``;
whoever serves the bundle may say otherwise, in a line such as ``reject,combination=flag,body_mass_g=ignore``.
"""

import difflib
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

from aweigh.errors import ConfigError

Word = Literal["flag", "reject", "ignore"]
WORDS: tuple[Word, ...] = get_args(Word)
COMBINATION = "combination"
"""Stands, where no column has that name, for the check of how columns go together."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """``columns`` holds for every column but the ``named`` ones, ``combination`` for how they go together."""

    columns: Word = "flag"
    combination: Word = "flag"
    named: dict[str, Word] = {}

    def of(self, column: str) -> Word:
        """What becomes of a value of that column that the model has not seen."""
        return self.named.get(column, self.columns)

    @property
    def rejects(self) -> bool:
        """Whether any row can be refused."""
        return "reject" in {self.columns, self.combination, *self.named.values()}


FLAG = Policy()
"""What holds where nobody says anything."""


def split_policy(text: str) -> list[tuple[str | None, Word]]:
    """The parts of such a line: a name and its word, None for the word of all that is not named.

    Raises:
        ConfigError: a part is neither a word nor a name with one.
    """
    found: list[tuple[str | None, Word]] = []
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, word = part.rpartition("=")
        known = next((one for one in WORDS if one == word.strip()), None)
        if known is None or (equals and not name.strip()):
            raise ConfigError(
                f"{part[:60]!r} is no policy for what the model has not seen.",
                hint=f"write one of {', '.join(WORDS)}, or names with one, such as flag,{COMBINATION}=reject",
            )
        found.append((name.strip() or None, known))
    return found


def override(policy: Policy, text: str, names: Sequence[str]) -> Policy:
    """The policy with what such a line says; a word without a name takes the place of all that the owner said.

    Raises:
        ConfigError: a part says nothing, or names no column of the model.
    """
    for name, word in sorted(split_policy(text), key=lambda part: part[0] is not None):
        if name is None:
            policy = Policy(columns=word, combination=word)
        elif name in names:
            policy = msgspec.structs.replace(policy, named=policy.named | {name: word})
        elif name == COMBINATION:
            policy = msgspec.structs.replace(policy, combination=word)
        else:
            near = difflib.get_close_matches(name, [*names, COMBINATION], n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the model takes {', '.join(names)[:200]}"
            raise ConfigError(f"The domain policy names {name[:60]!r}, which is no column of the model.", hint=hint)
    return policy
