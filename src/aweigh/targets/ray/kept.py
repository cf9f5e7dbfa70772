"""What the cluster keeps of an app: bundles by their sha256, releases, secrets; in Ray's own key-value store.

The store is that of the head node, and outlives it where the cluster keeps it in a Redis. New nodes read from it
whenever they come. Ray's dashboard and its state API show nothing of it; but whoever may start a task on the cluster
can read it, as such a task can read the memory of the replicas, too.
"""

import base64
import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import msgspec

from aweigh.errors import DamagedBundle
from aweigh.targets.errors import AGAIN, Occupied
from aweigh.targets.ray.errors import ServeRefused

NAMESPACE = b"aweigh"
PIECE_BYTES = 8 * 2**20
MOST_BYTES = 512 * 2**20
"""Of a bundle: what Ray itself lets a package of its own have in that store."""
MOST_RELEASES = 20
"""Releases, and so bundles, that are kept to go back to."""
LOCK_S = 60.0
"""After so long a deployment that was cut off keeps nobody out; one that goes on says so four times as often."""


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was deployed once: all that a replica is made of, but the secrets.

    ``sha256`` and ``size_bytes`` are those of the bundle's archive, ``bundle`` is its short digest. ``cpus`` and
    ``memory_bytes`` are what a replica may take. Without ``most`` there are ``replicas``; with it, from ``least`` to
    ``most``, so that each has ``target`` requests under way; a replica is given ``in_flight`` at most. ``trust`` are
    the files of the policy, in base64, by their names. ``served``: whether people were ever sent to it.
    """

    number: int
    at_s: float
    name: str
    bundle: str
    sha256: str
    size_bytes: int
    auth: str
    route: str
    replicas: int
    least: int
    most: int
    cpus: float
    memory_bytes: int
    in_flight: int
    target: float
    batch_rows: int | None
    config: dict[str, str]
    trust: dict[str, str]
    loopback: bool
    aweigh: str
    served: bool = False

    @property
    def version(self) -> str:
        """As it is called: ``v3``."""
        return f"v{self.number}"

    def same_as(self, other: "Release") -> bool:
        """Whether both would run alike, whenever they were deployed."""
        return self.with_number(0, at_s=0.0) == other.with_number(0, at_s=0.0)

    def with_number(self, number: int, *, at_s: float) -> "Release":
        """The same as another release."""
        return msgspec.structs.replace(self, number=number, at_s=at_s, served=False)


class App(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The releases of an app, the oldest first, and the number of the one that is live; None: none is."""

    name: str
    releases: tuple[Release, ...] = ()
    current: int | None = None

    def release(self, number: int | None) -> Release | None:
        """The release of that number, where it is still kept."""
        return next((one for one in self.releases if one.number == number), None)

    @property
    def live(self) -> Release | None:
        """The release that is live."""
        return self.release(self.current)

    @property
    def next_number(self) -> int:
        """Of the next release."""
        return max((one.number for one in self.releases), default=0) + 1


class Store(Protocol):
    """Keys and bytes, in a cluster."""

    def get(self, key: str) -> bytes | None:
        """The bytes of a key; None where there are none."""

    def put(self, key: str, value: bytes, *, overwrite: bool = True) -> bool:
        """Keeps bytes; whether the key was there before."""

    def drop(self, key: str) -> None:
        """Forgets a key."""

    def names(self, prefix: str) -> list[str]:
        """The keys that begin so."""


class RayStore:
    """The key-value store of the cluster that this process is connected to, or runs in."""

    def get(self, key: str) -> bytes | None:
        """The bytes of a key; None where there are none."""
        from ray.experimental import internal_kv

        found: bytes | None = internal_kv._internal_kv_get(key, namespace=NAMESPACE)  # noqa: SLF001  its public name
        return found

    def put(self, key: str, value: bytes, *, overwrite: bool = True) -> bool:
        """Keeps bytes; whether the key was there before."""
        from ray.experimental import internal_kv

        return bool(internal_kv._internal_kv_put(key, value, overwrite=overwrite, namespace=NAMESPACE))  # noqa: SLF001

    def drop(self, key: str) -> None:
        """Forgets a key."""
        from ray.experimental import internal_kv

        internal_kv._internal_kv_del(key, namespace=NAMESPACE)  # noqa: SLF001

    def names(self, prefix: str) -> list[str]:
        """The keys that begin so."""
        from ray.experimental import internal_kv

        return sorted(one.decode() for one in internal_kv._internal_kv_list(prefix, namespace=NAMESPACE))  # noqa: SLF001


# -- apps and their secrets ------------------------------------------------------------------------------------------


def read_app(store: Store, name: str) -> App | None:
    """What is kept of an app; None where nothing is.

    Raises:
        ServeRefused: another aweigh has written it in a way that this one does not know.
    """
    content = store.get(f"app:{name}")
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=App)
    except msgspec.MsgspecError as error:
        raise ServeRefused(
            f"What the cluster keeps of {name} was written by another version of aweigh.",
            hint="use that version, or aweigh destroy ray and deploy anew",
        ) from error


def write_app(store: Store, app: App) -> App:
    """Keeps an app with the newest of its releases, and forgets bundles that nothing needs any more."""
    kept = app.releases[-MOST_RELEASES:]
    if app.live is not None and app.live not in kept:
        kept = (app.live, *kept)
    app = msgspec.structs.replace(app, releases=kept)
    store.put(f"app:{app.name}", msgspec.json.encode(app))
    needed = {one.sha256 for other in _apps(store) for one in other.releases}
    for key in store.names("bundle:"):
        if key.split(":")[1] not in needed:
            store.drop(key)
    return app


def forget_app(store: Store, name: str) -> None:
    """Forgets an app, its secrets, and the bundles that no other needs."""
    write_app(store, App(name=name))
    for kind in ("app", "secrets"):
        store.drop(f"{kind}:{name}")


def _apps(store: Store) -> Iterator[App]:
    for key in store.names("app:"):
        found = read_app(store, key.removeprefix("app:"))
        if found is not None:
            yield found


def read_secrets(store: Store, name: str) -> dict[str, str]:
    """The secrets of an app by the variables that hold them, in the clear: for the replica, and for who asks it."""
    content = store.get(f"secrets:{name}")
    return {} if content is None else msgspec.json.decode(content, type=dict[str, str])


def write_secrets(store: Store, name: str, secrets: Mapping[str, str]) -> None:
    """Keeps the secrets of an app."""
    store.put(f"secrets:{name}", msgspec.json.encode(dict(secrets)))


# -- bundles ---------------------------------------------------------------------------------------------------------


def put_bundle(store: Store, content: bytes) -> tuple[str, int]:
    """Keeps the archive of a bundle; its sha256, and how many bytes had to be sent, none where it was there.

    Raises:
        ServeRefused: it is too large.
    """
    if len(content) > MOST_BYTES:
        raise ServeRefused(
            f"The bundle has {len(content) / 2**20:.0f} MiB, and the cluster's own store takes {MOST_BYTES // 2**20}.",
            hint="put it into the nodes' image: aweigh deploy ray --output-dir writes the documents for that",
        )
    digest = hashlib.sha256(content).hexdigest()
    if store.get(_bundle(digest)) is not None:
        return digest, 0
    for i, begin in enumerate(range(0, len(content), PIECE_BYTES)):
        store.put(f"{_bundle(digest)}:{i:04}", content[begin : begin + PIECE_BYTES])
    store.put(_bundle(digest), b"%d" % len(content))  # last: what was cut off is not there
    return digest, len(content)


def get_bundle(store: Store, digest: str) -> bytes:
    """The archive of that sha256.

    Raises:
        DamagedBundle: it is not there, or its bytes are not those.
    """
    size = store.get(_bundle(digest))
    pieces = [] if size is None else [store.get(one) for one in store.names(f"{_bundle(digest)}:")]
    content = b"".join(one for one in pieces if one is not None)
    if size is None or hashlib.sha256(content).hexdigest() != digest:
        raise DamagedBundle(
            "The cluster's store has not the bundle's bytes as they were sent.", hint="deploy the bundle again"
        )
    return content


def _bundle(digest: str) -> str:
    return f"bundle:{digest}"


def text_of(content: bytes) -> str:
    """Bytes as a document may hold them."""
    return base64.b64encode(content).decode()


def bytes_of(text: str) -> bytes:
    """The bytes of such a text."""
    return base64.b64decode(text)


@contextmanager
def alone(store: Store, name: str, *, clock: float | None = None) -> Iterator[None]:
    """Keeps others from changing an app meanwhile.

    Raises:
        Occupied: somebody else is changing it.
    """
    key, now = f"lock:{name}", time.time() if clock is None else clock
    mine = b"%.6f" % (now + LOCK_S)
    if store.put(key, mine, overwrite=False):
        until = float(store.get(key) or 0)
        if now < until <= now + LOCK_S:
            raise Occupied(
                f"Somebody else changes {name} at this moment.",
                hint=f"wait for them; if they were cut off, {until - now:.0f} s; then {AGAIN}",
            )
        store.put(key, mine)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, key, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        store.drop(key)


def _renew(store: Store, key: str, ended: threading.Event) -> None:
    while not ended.wait(LOCK_S / 4):
        store.put(key, b"%.6f" % (time.time() + LOCK_S))
