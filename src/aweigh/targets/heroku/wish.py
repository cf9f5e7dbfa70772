"""What a deployment is made of: what somebody asks for, the source, and what came of it."""

import hashlib
import re
from dataclasses import dataclass, field

from aweigh.errors import UsageError
from aweigh.secret import Secret
from aweigh.targets.heroku.api import Api
from aweigh.targets.heroku.boot import Patience
from aweigh.targets.heroku.dynos import DYNOS, is_fir_size
from aweigh.targets.live import Golden
from aweigh.targets.release import Release
from aweigh.targets.telling import Telling

NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]\Z")
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody asks for; what is None stays as it is, or as Heroku has it for new apps."""

    app: str
    region: str | None = None
    stack: str | None = None
    size: str | None = None
    replicas: int | None = None
    addons: tuple[str, ...] = ()
    team: str | None = None
    space: str | None = None
    container: bool = False
    """Whether it is pushed as images, and not built there; ``base`` names what they are built on."""
    base: str | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """The source as one tarball."""

    content: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """Its digest, 64 hex digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def version(self) -> str:
        """Its digest as people see it: 12 hex digits. Builds are told apart by it."""
        return self.sha256[:12]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is live. ``invite`` is the path of the first administrator's invitation: shown once, to who deployed."""

    app: str
    url: str
    release: str
    source: str
    bundle: str | None
    created: bool
    changed: bool
    golden_rows: int
    notes: tuple[str, ...] = ()
    invite: Secret | None = None


@dataclass(frozen=True, slots=True)
class Going:
    """What every step needs."""

    api: Api
    wish: Wish
    release: Release
    packed: Packed
    telling: Telling
    patience: Patience

    golden: Golden | None = None
    """The rows that it is to be checked with, where it serves a bundle."""

    @property
    def described(self) -> str:
        """What the platform is told of the source: whose it is, and the bundle in it."""
        return f"aweigh: {self.release.name} {'' if self.golden is None else self.golden.version}".rstrip()

    @property
    def app(self) -> str:
        """The app's name."""
        return self.wish.app


def check_name(app: str) -> None:
    """What can be an app's name at Heroku, or its id.

    Raises:
        UsageError: this cannot.
    """
    if NAME.match(app) is None and _ID.match(app) is None:
        raise UsageError(
            f"No app at Heroku can be named {app[:40]!r}.",
            hint="3 to 30 characters: small letters, digits and hyphens, the first a letter, the last no hyphen",
        )


def check_wish(wish: Wish) -> None:
    """What can be said without asking Heroku.

    Raises:
        UsageError: a name, a size or a number that Heroku would refuse.
    """
    check_name(wish.app)
    if wish.size is None:
        return
    size = DYNOS.get(wish.size.lower())
    if size is None and not is_fir_size(wish.size) and not wish.size.lower().startswith(("private-", "shield-")):
        raise UsageError(f"Heroku has no dynos of the size {wish.size[:40]!r}.", hint=f"one of {', '.join(DYNOS)}")
    if size is not None and size.most is not None and (wish.replicas or 1) > size.most:
        raise UsageError(
            f"There can be {size.most} dyno of the size {size.name}, and no more.",
            hint="take --size standard-1x for several",
        )
