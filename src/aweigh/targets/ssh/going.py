"""What each step of a deployment needs to know of it."""

from dataclasses import dataclass

from aweigh.targets.live import Golden
from aweigh.targets.ssh.kept import Kept, Place
from aweigh.targets.ssh.place import Paths
from aweigh.targets.ssh.runner import Host
from aweigh.targets.ssh.telling import Patience, Telling
from aweigh.targets.ssh.units import replicas_of


@dataclass(frozen=True, slots=True)
class Going:
    """A release on its way: where it goes, what is asked of it, and who is told."""

    host: Host
    paths: Paths
    place: Place
    kept: Kept
    release: str
    golden: Golden | None
    systemd: int
    telling: Telling
    patience: Patience

    @property
    def replicas(self) -> dict[str, int]:
        """How many of each process there are to be."""
        return replicas_of(self.kept, self.place)
