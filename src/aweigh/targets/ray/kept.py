"""What the cluster keeps of an app: bundles by their sha256, releases, secrets; in Ray's own key-value store.

The store is that of the head node, and outlives it where the cluster keeps it in a Redis. New nodes read from it
whenever they come. Ray's dashboard and its state API show nothing of it; but whoever may start a task on the cluster
can read it, as such a task can read the memory of the replicas, too.
"""

import base64
import hashlib
import secrets as random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
MOST_KEPT_BYTES = 2**30
"""Of all bundles of an app: the store is in the memory of the head."""
LOCK_S = 60.0
"""After so long a deployment that was cut off keeps nobody out; one that goes on says so four times as often."""
SKEW_S = 600.0
"""So far ahead another machine's clock may be; whatever says more is no time of a lock."""
SETTLE_S = 0.5
"""Two who take over one lock at once see after so long which of them has it."""


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
    """Keeps an app with the newest of its releases, and forgets bundles and secrets that nothing needs any more.

    Secrets are kept of the release that is live, and of the newest, which may become so.
    """
    kept = _newest(app.releases)
    if app.live is not None and app.live not in kept:
        kept = (app.live, *kept)
    app = msgspec.structs.replace(app, releases=kept)
    store.put(f"app:{app.name}", msgspec.json.encode(app))
    mine = {str(app.current), *(str(one.number) for one in kept[-1:])}
    for key in store.names(_secrets(app.name, "")):
        if key.rpartition(":")[2] not in mine:
            store.drop(key)
    with suppress(ServeRefused):  # of an app that another aweigh keeps nobody knows here what it needs
        needed = {one.sha256 for other in _apps(store) for one in other.releases}
        for key in store.names("bundle:"):
            if key.split(":")[1] not in needed:
                store.drop(key)
    return app


def _newest(releases: Sequence[Release]) -> tuple[Release, ...]:
    """The last of the releases, as far as the number and the bytes of what is kept go; one at least."""
    sizes: dict[str, int] = {}
    found: list[Release] = []
    for one in reversed(releases[-MOST_RELEASES:]):
        sizes[one.sha256] = one.size_bytes
        if found and sum(sizes.values()) > MOST_KEPT_BYTES:
            break
        found.append(one)
    return tuple(reversed(found))


def forget_app(store: Store, name: str) -> None:
    """Forgets an app, its secrets, and the bundles that no other needs."""
    write_app(store, App(name=name))
    store.drop(f"app:{name}")


def _apps(store: Store) -> Iterator[App]:
    for key in store.names("app:"):
        found = read_app(store, key.removeprefix("app:"))
        if found is not None:
            yield found


def read_secrets(store: Store, name: str, number: int) -> dict[str, str]:
    """The secrets of a release by the variables that hold them, in the clear: for the replica, and for who asks it."""
    content = store.get(_secrets(name, number))
    return {} if content is None else msgspec.json.decode(content, type=dict[str, str])


def write_secrets(store: Store, name: str, number: int, secrets: Mapping[str, str]) -> None:
    """Keeps the secrets of a release: those of the one that serves stay until another does."""
    store.put(_secrets(name, number), msgspec.json.encode(dict(secrets)))


def _secrets(name: str, number: int | str) -> str:
    return f"secrets:{name}:{number}"


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
def alone(store: Store, name: str, *, clock: float | None = None) -> Iterator[Callable[[], None]]:
    """Keeps others from changing an app meanwhile.

    The block is given what to ask before it changes what runs: it passes while nobody else has taken over, as they may
    where this machine was asleep for long.

    Raises:
        Occupied: somebody else is changing it.
    """
    key, now, mine = f"lock:{name}", time.time() if clock is None else clock, random.token_hex(8)
    occupied = Occupied(f"Somebody else changes {name} at this moment.", hint=f"wait for them; then {AGAIN}")
    if store.put(key, _held(now, mine), overwrite=False):
        until = float((store.get(key) or b"0").split()[0])
        if now < until <= now + LOCK_S + SKEW_S:
            occupied.hint = f"wait for them; if they were cut off, {until - now:.0f} s; then {AGAIN}"
            raise occupied
        store.put(key, _held(now, mine))
        time.sleep(SETTLE_S)

    def still() -> None:
        if not _is_held(store, key, mine):
            raise occupied

    still()
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(store, key, mine, ended), daemon=True)
    renewing.start()
    try:
        yield still
    finally:
        ended.set()
        renewing.join()
        if _is_held(store, key, mine):
            store.drop(key)


def _held(now: float, mine: str) -> bytes:
    return f"{now + LOCK_S:.6f} {mine}".encode()


def _is_held(store: Store, key: str, mine: str) -> bool:
    return (store.get(key) or b"").endswith(f" {mine}".encode())


def _renew(store: Store, key: str, mine: str, ended: threading.Event) -> None:
    while not ended.wait(LOCK_S / 4):
        with suppress(Exception):  # a head that is away for a moment, of which Ray raises whatever its parts do
            if not _is_held(store, key, mine):
                return
            store.put(key, _held(time.time(), mine))
