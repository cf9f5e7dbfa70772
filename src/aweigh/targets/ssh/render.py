"""Everything that is written on a host for a release, without asking it: units, Caddy's site, settings, documents."""

from aweigh.errors import UsageError
from aweigh.guard.deploy_key import VARIABLE
from aweigh.secret import Secret
from aweigh.targets.live import Golden, golden_of
from aweigh.targets.release import Release
from aweigh.targets.ssh import install
from aweigh.targets.ssh.command import (
    Command,
    check_sites,
    clear_slot,
    import_sites,
    keep_durably,
    make_up,
    point,
    point_current,
    record,
    reload_sites,
    set_up,
    shut_administration,
    systemctl,
    taken_site,
    write,
)
from aweigh.targets.ssh.install import Packed, environment_name, finish, make_environment, unpack
from aweigh.targets.ssh.kept import Kept, Place, encoded, installed_files, kept_of
from aweigh.targets.ssh.place import FIRST_PORT, MEMORY, PORT, UNITS, Paths, Slot, Wish, check_wish
from aweigh.targets.ssh.site import render_site
from aweigh.targets.ssh.units import MIGRATION, render_scripts, render_units, replicas_of
from aweigh.targets.tarball import tarball

WITHHELD = "(made up there when it is not set, and never sent back)"


def packed_of(release: Release) -> tuple[Kept, Packed, Golden | None]:
    """What is sent of a release, what the host keeps of it, and its golden rows.

    Raises:
        UsageError: it cannot run on a server.
    """
    golden = None if release.bundle is None else golden_of(release.files[release.bundle])
    kept = kept_of(release, bundle=None if golden is None else golden.version)
    if "web" not in kept.processes:
        raise UsageError("The release has no web process.", hint="give the Procfile a line that begins with web:")
    environment_name(release, python="")
    files = installed_files(release, golden=golden, scripts=render_scripts(kept))
    return kept, Packed(tarball(files)), golden


def place_of(wish: Wish, there: Place | None, *, base: int = FIRST_PORT) -> Place:
    """What holds for the app: what is asked for now, else what was, else the defaults."""
    was = there or Place(app=wish.app, base=base)
    domain = wish.domain if wish.domain is not None or wish.port is not None else was.domain
    return Place(
        app=wish.app,
        base=was.base,
        domain=domain,
        port=wish.port or was.port or PORT,
        memory=wish.memory or was.memory or MEMORY,
        replicas={**was.replicas, **wish.replicas},
    )


def secrets_of(kept: Kept) -> tuple[str, ...]:
    """The secrets that the host makes up."""
    return (*kept.secrets, *([VARIABLE] if kept.bundle is not None else []))


def render(release: Release, wish: Wish, *, slot: Slot = "a") -> dict[str, bytes]:
    """The documents of a first deployment, by their paths on the host; secrets' values are in none of them.

    Raises:
        UsageError: something that no document can hold safely.
    """
    check_wish(wish)
    kept, packed, _ = packed_of(release)
    place, paths = place_of(wish, None), Paths(wish.app)
    units = render_units(kept, place, release=packed.digest, slot=slot)
    env = "".join(f"# {name} {WITHHELD}\n" for name in secrets_of(kept))
    return {
        **{f"{UNITS}/{name}": content for name, content in units.items()},
        paths.site: render_site(place),
        paths.env: env.encode(),
        paths.place: encoded(place),
    }


def planned(release: Release, wish: Wish) -> list[Command]:
    """The commands of a first deployment, in their order; a later one asks fewer of them.

    Raises:
        UsageError: as of ``render``.
    """
    check_wish(wish)
    kept, packed, _ = packed_of(release)
    paths, place = Paths(wish.app), place_of(wish, None)
    documents = render(release, wish)
    python = wish.python or f"python{release.python}"
    environment = environment_name(release, python=python)
    names = [paths.unit(kind, "a", i) for kind, n in replicas_of(kept, place).items() for i in range(n)]
    web = [one for one in names if ".web." in one]
    return [
        *set_up(paths),
        *make_up(paths, secrets_of(kept)),
        unpack(paths, packed),
        *make_environment(paths, environment, python=python, release=packed.digest),
        finish(paths, packed.digest, environment),
        clear_slot(paths, "a"),
        *(write(path, content) for path, content in documents.items() if path.startswith(f"{UNITS}/")),
        systemctl("read the units", "daemon-reload"),
        *([systemctl("run the migration", "start", paths.migration("a"))] if MIGRATION in kept.processes else []),
        systemctl("start the app", "start", *web),
        import_sites(),
        write(paths.site, documents[paths.site]),
        check_sites(),
        reload_sites(),
        taken_site(paths),
        shut_administration(),
        systemctl("have the app start with the machine", "enable", "--quiet", *web),
        point(paths, "a", replicas_of(kept, place).get("web", 0)),
        systemctl("have the app start with the machine", "enable", "--quiet", *names),
        write(paths.place, documents[paths.place]),
        record(paths, packed.digest, kept.bundle, always=True),
        point_current(paths, packed.digest),
        keep_durably(paths),
        install.prune(paths, [packed.digest]),
    ]


def shown(command: Command) -> dict[str, object]:
    """A command for the eye: no secret is in it, and of what it reads only how much that is."""
    size = None
    if isinstance(command.stdin, bytes):
        size = len(command.stdin)
    elif isinstance(command.stdin, Secret):
        size = len(command.stdin.reveal().encode())
    found: dict[str, object] = {"what": command.what, "argv": list(command.argv), "root": command.root}
    return found if size is None else found | {"reads_bytes": size}
