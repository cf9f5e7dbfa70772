"""What is asked of a host, as values: an argument list, what it reads, and what it is for. Nothing is sent here.

Scripts are constants of this module that take everything else as arguments (``$1``), so that no value is ever read as
code: neither by the shell there, which gets each argument quoted, nor by one here, which there is none of.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aweigh.secret import Secret
from aweigh.targets.ssh.place import CADDYFILE, IMPORT, ROOT, SITES, STATE, UNITS, Paths, Slot, marker_name

WRITE = 'umask 077; mkdir -p "$(dirname "$1")" && cat > "$1.new" && chmod "$2" "$1.new" && mv -fT "$1.new" "$1"'
READ = 'if [ -f "$1" ]; then cat "$1"; fi'
SETTINGS = 'if [ -f "$1" ]; then cut -d= -f1 "$1" | grep -E "^[A-Z]" | sort; fi'
MADE_UP = (
    'umask 077; grep -q "^$1=" "$2" || printf "%s=%s\\n" "$1" "$(od -An -N32 -tx1 /dev/urandom | tr -d " \\n")" >> "$2"'
)
CHANGE = 'umask 077; { grep -vE "^($2)=" "$1" || true; cat; } > "$1.new" && chmod 600 "$1.new" && mv -fT "$1.new" "$1"'
IMPORTED = (
    'mkdir -p -m 755 "$3" && chmod 755 "$3" && touch "$1" && { grep -qxF "$2" "$1" || '
    '{ [ -z "$(tail -c1 "$1")" ] || echo >> "$1"; printf "%s\\n" "$2" >> "$1"; }; }'
)
POINT = 'set -e; touch "$1/$2"; sleep 0.2; for f in "$1"/*; do [ "$f" = "$1/$2" ] || rm -f "$f"; done'
CURRENT = 'ln -sfn "$1" "$2.new" && mv -fT "$2.new" "$2"'
APPEND = (
    'last=$(tail -n1 "$3" 2>/dev/null | cut -d" " -f1-2); [ "$last" = "$1 $2" ] && [ -z "$4" ] || '
    'printf "%s %s %s\\n" "$1" "$2" "$(date +%s)" >> "$3"'
)
CLEAR = (
    'set -e; systemctl list-units --all --plain --no-legend --full "$1*" | cut -d" " -f1 | grep -E "$2" | '
    "xargs -r systemctl disable --now --quiet 2>/dev/null || true; "
    'systemctl list-units --all --plain --no-legend --full "$1*" | cut -d" " -f1 | grep -E "$2" | '
    "xargs -r systemctl stop --quiet; "
    'systemctl list-units --all --plain --no-legend --full "$1*" | cut -d" " -f1 | grep -E "$2" | '
    "xargs -r systemctl reset-failed 2>/dev/null || true; "
    'find "$3" -maxdepth 2 -name "$1*" | grep -E "$2" | xargs -r rm -f; systemctl daemon-reload'
)
HELD = "echo held; exec timeout 7200 cat"


@dataclass(frozen=True, slots=True)
class Command:
    """One of them: ``what`` completes "the host could not ..."; ``root``: it takes root's rights."""

    what: str
    argv: tuple[str, ...]
    stdin: bytes | Path | Secret | None = None
    root: bool = True

    @property
    def shown(self) -> str:
        """As a person would type it there; what it reads is not in it."""
        return shlex.join(self.argv)


def shell(what: str, script: str, *arguments: str, stdin: bytes | Path | Secret | None = None) -> Command:
    """A script of this module with its arguments."""
    return Command(what, ("sh", "-c", script, "sh", *arguments), stdin)


def write(path: str, content: bytes | Secret, *, mode: str = "644") -> Command:
    """Writes a file, whole or not at all."""
    return shell(f"write {path.rpartition('/')[2]}", WRITE, path, mode, stdin=content)


def read(path: str) -> Command:
    """Reads a file; nothing where there is none."""
    return shell(f"read {path.rpartition('/')[2]}", READ, path)


def set_up(paths: Paths) -> list[Command]:
    """The app's user and its folders; what is there stays."""
    user = ("--system", "--user-group", "--no-create-home", "--home-dir", paths.state, "--shell", "/usr/sbin/nologin")
    script = 'id -u "$1" >/dev/null 2>&1 || { u=$1; shift; useradd "$@" "$u"; }'
    folders = [paths.root, f"{paths.root}/releases", f"{paths.root}/venvs", f"{paths.root}/live"]
    return [
        shell("make the user of the app", script, paths.user, *user),
        Command("make the folders of the app", ("install", "-d", "-m", "755", ROOT, STATE, *folders)),
        Command("make the folders of the app", ("install", "-d", "-m", "700", f"{paths.root}/shared")),
        Command(
            "make the folders of the app",
            ("install", "-d", "-m", "700", "-o", paths.user, "-g", paths.user, paths.state, f"{paths.root}/cache"),
        ),
        shell("make the file of settings", 'umask 077; touch "$1" "$2"; chmod 600 "$1"', paths.env, paths.lock),
    ]


def make_up(paths: Paths, names: Sequence[str]) -> list[Command]:
    """Makes up the secrets that are not there; they never leave the host."""
    return [shell(f"make up {name}", MADE_UP, name, paths.env) for name in names]


def change_settings(paths: Paths, names: Sequence[str], lines: Secret) -> Command:
    """Takes settings away and puts the lines in their place."""
    return shell("write the settings", CHANGE, paths.env, "|".join(names), stdin=lines)


def import_sites() -> Command:
    """Has the host's own Caddyfile read the sites of all apps: one line at its end, once."""
    return shell("write the line into Caddy's configuration", IMPORTED, CADDYFILE, IMPORT, SITES)


def check_sites() -> Command:
    """Asks Caddy whether it could take its configuration."""
    return Command(
        "let Caddy read its configuration", ("caddy", "validate", "--adapter", "caddyfile", "--config", CADDYFILE)
    )


def reload_sites() -> Command:
    """Has Caddy take its configuration anew, without closing what it does."""
    return Command("take Caddy's configuration", ("caddy", "reload", "--adapter", "caddyfile", "--config", CADDYFILE))


def systemctl(what: str, *words: str) -> Command:
    """A call of systemctl."""
    return Command(what, ("systemctl", *words))


def clear_slot(paths: Paths, slot: Slot) -> Command:
    """Stops and takes away whatever is in a slot."""
    pattern = rf"^(.*/)?{paths.prefix.replace('.', '[.]')}[a-z0-9-]+[.]{slot}(@[0-9]*)?[.]service$"
    return shell(f"clear slot {slot}", CLEAR, paths.prefix, pattern, UNITS)


def clear_all(paths: Paths) -> Command:
    """Stops and takes away all units of the app."""
    pattern = rf"^(.*/)?{paths.prefix.replace('.', '[.]')}[a-z0-9-]+[.][ab](@[0-9]*)?[.]service$"
    return shell("stop the app", CLEAR, paths.prefix, pattern, UNITS)


def point(paths: Paths, slot: Slot, web: int) -> Command:
    """The switch itself: from the next request on Caddy asks that slot.

    The new marker is there before the old one goes, and longer than a request takes to look for both.
    """
    return shell(f"switch to slot {slot}", POINT, paths.live, marker_name(slot, web))


def unmark(paths: Paths, slot: Slot) -> Command:
    """Takes away the markers of a slot that is not live."""
    return shell(f"clear slot {slot}", 'rm -f "$1/$2"[0-9]*', paths.live, slot)


def point_current(paths: Paths, release: str) -> Command:
    """Has ``current`` name the release that is live, for whoever looks."""
    return shell("name the live release", CURRENT, f"releases/{release}", f"{paths.root}/current")


def record(paths: Paths, release: str, bundle: str | None, *, always: bool) -> Command:
    """A line of history, unless the last one says the same."""
    return shell("write the history", APPEND, release, bundle or "-", paths.history, "always" if always else "")
