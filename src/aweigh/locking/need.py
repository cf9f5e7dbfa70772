"""One thing that an environment needs: a requirement, where it was said, and how its name was found."""

from dataclasses import dataclass

from aweigh.bundle.requirements import canonical


@dataclass(frozen=True, slots=True)
class Need:
    """A requirement as pip writes it (``pandas==1.4.3``), where it comes from (``app.py:3``), and a word on it."""

    requirement: str
    origin: str
    note: str = ""

    @property
    def name(self) -> str:
        """The distribution's name, as indexes compare it."""
        from packaging.requirements import Requirement

        return canonical(Requirement(self.requirement).name)

    @property
    def pinned(self) -> str | None:
        """The one version that it allows, or None."""
        from packaging.requirements import Requirement

        specifiers = list(Requirement(self.requirement).specifier)
        if len(specifiers) == 1 and specifiers[0].operator == "==" and not specifiers[0].version.endswith(".*"):
            return specifiers[0].version
        return None
