"""What happens: apps come and go, releases go live, dynos are started and stopped."""

import asyncio
import contextlib
import random
import secrets
import shutil
from pathlib import Path

from tests.heroku.dynos import Dyno, free_port
from tests.heroku.errors import ApiError, invalid, not_found
from tests.heroku.images import pull, slug_of
from tests.heroku.options import Options
from tests.heroku.router import MOST_HEAD_BYTES, Router
from tests.heroku.state import Addon, App, Formation, Release, Slug, Source, new_id, size_of
from tests.heroku.streams import Stream, now

from aweigh.targets.heroku.dynos import DYNOS, is_fir_size

SERVICES = {"heroku-postgresql": "DATABASE", "heroku-redis": "REDIS"}
FEATURES = {
    "http-session-affinity": "Enable session affinity for all requests",
    "preboot": "Provide seamless web dyno deploys",
    "runtime-dyno-metadata": "Dyno Metadata in Runtime Env",
    "runtime-heroku-metrics": "Language Metrics",
}
NOT_SCALED = ("release",)
AT_ONCE_S = 0.2
MOST_DYNOS = 20
"""They are processes of this machine, and each of them takes a hundred megabytes."""


class Platform:
    """All apps, and what they share."""

    def __init__(self, options: Options, folder: Path, base: str) -> None:
        self.options = options
        self.folder = folder
        self.base = base
        self.apps: dict[str, App] = {}
        self.sources: dict[str, Source] = {}
        self.pipelines: dict[str, dict] = {}
        self.couplings: list[dict] = []
        self.promotions: dict[str, tuple[dict, list[dict]]] = {}
        self.setups: dict[str, dict] = {}
        self.reviews: dict[str, dict] = {}
        self.review_configs: dict[str, dict] = {}
        self.sessions: dict[str, tuple[App, object]] = {}
        self.streams: dict[str, Stream] = {}
        self.calls_left = options.hourly_calls
        self._tasks: set[asyncio.Task] = set()

    def spawn(self, work) -> asyncio.Task:
        """Do something beside the requests, until the platform is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """End every dyno, at once: nobody waits for what a test left running."""
        for app in list(self.apps.values()):
            await self.destroy(app, at_once=True)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def find_app(self, key: str) -> App:
        """Find an app by name or id."""
        for app in self.apps.values():
            if key in (app.name, app.id):
                return app
        raise not_found("app", "app")

    async def create_app(self, name: str | None, stack: str | None = None, *, space: str | None = None) -> App:
        """Make an app, with the release that every app begins with."""
        if name is None:
            name = f"still-harbour-{random.randrange(10_000, 99_999)}"
        if any(app.name == name for app in self.apps.values()):
            raise ApiError(422, "invalid_params", f"Name {name} is already taken")
        app = App(new_id(), name, stack or self.options.stack, free_port(), space)
        app.stack = "cnb" if app.is_fir else app.stack
        app.router = await asyncio.start_server(
            Router(app, self.options).connection, "127.0.0.1", app.port, limit=MOST_HEAD_BYTES
        )
        self.apps[app.id] = app
        app.log.add("app", "api", "Initial release by user captain@example.org")
        for description in ("Initial release", "Enable Logplex"):
            self.release(app, description, slug=None)
        return app

    async def destroy(self, app: App, *, at_once: bool = False) -> None:
        """Take an app away."""
        self.apps.pop(app.id, None)
        for build in app.builds:
            if build.task is not None:
                build.task.cancel()
        if app.router is not None:
            app.router.close()
        dynos, app.dynos = app.dynos, []
        stopping = [self.spawn(dyno.stop(AT_ONCE_S if at_once else None)) for dyno in dynos]
        app.log.close()
        self.couplings = [one for one in self.couplings if one["app"]["id"] != app.id]
        if at_once:
            await asyncio.gather(*stopping)

    def release(
        self, app: App, description: str, *, slug: Slug | None, config: dict[str, str] | None = None
    ) -> Release:
        """Make a release; it goes live at once, or when its release process has succeeded."""
        config = app.config if config is None else config
        version = app.releases[-1].version + 1 if app.releases else 1
        process = slug is not None and "release" in slug.processes
        status = "pending" if process else "succeeded"
        release = Release(new_id(), version, description, slug, dict(config), status)
        app.config = dict(config)
        app.releases.append(release)
        app.log.add("app", "api", f"Release v{version} created by user captain@example.org")
        if description.startswith("Deploy"):
            app.log.add("app", "api", f"{description} by user captain@example.org")
        if process:
            release.output = self.streams[release.id] = Stream()
            self.spawn(self._run_release(app, release))
        else:
            self._go_live(app, release)
        return release

    def release_images(self, app: App, images: dict[str, str]) -> None:
        """Release images that were pushed, by process type and id; the same again is no release."""
        if self.options.registry is None:
            raise invalid("This local platform has no registry of images")
        if app.stack != "container":
            raise invalid("This app is not of the container stack")
        pulled = {type_: pull(self.options.registry, f"{app.name}/{type_}", image, self.folder)
                  for type_, image in images.items()}  # fmt: skip
        before = app.current.slug if app.current is not None else None
        if before is not None and {**before.images, **pulled} == before.images:
            return
        self.release(app, f"Deployed {', '.join(sorted(images))}", slug=slug_of(before, pulled))

    async def _run_release(self, app: App, release: Release) -> None:
        output = release.output
        assert output is not None
        assert release.slug is not None
        try:
            async with app.releasing:
                dyno = Dyno(
                    app,
                    release,
                    dyno_name(app, "release", random.randrange(1000, 9999)),
                    release.slug.processes["release"],
                    app.first_size(self.options.size),
                    self.options,
                )
                dyno.output = output.write
                app.dynos.append(dyno)
                dyno.task = self.spawn(dyno.run(again=False, folder=self.folder / "dynos"))
                try:
                    code = await asyncio.wait_for(asyncio.shield(dyno.task), self.options.release_s)
                except TimeoutError:
                    await dyno.stop()
                    code = 1
                if dyno in app.dynos:
                    app.dynos.remove(dyno)
                release.updated_at = now()
                if code == 0:
                    release.status = "succeeded"
                    self._go_live(app, release)
                else:
                    release.status = "failed"
                    app.log.add("app", "api", f"Release v{release.version} command failed")
        except asyncio.CancelledError:
            release.status = "failed"
            raise
        finally:
            output.close()

    def _go_live(self, app: App, release: Release) -> None:
        if app.current is not None and app.current.version > release.version:
            return
        app.current = release
        app.released_at = app.updated_at = now()
        processes = release.slug.processes if release.slug else {}
        first = not app.formation
        for type_, command in processes.items():
            if type_ in NOT_SCALED:
                continue
            if type_ in app.formation:
                app.formation[type_].command = command
            else:
                quantity = 1 if type_ == "web" and first else 0
                app.formation[type_] = Formation(type_, command, quantity, app.first_size(self.options.size))
        for type_ in [one for one in app.formation if one not in processes]:
            del app.formation[type_]
        self.restart(app)

    def restart(self, app: App, *, type_: str | None = None, name: str | None = None) -> None:
        """Stop dynos, all or some, and start what the formation wants."""
        for dyno in list(app.dynos):
            kept = dyno.type not in app.formation and dyno.type in ("run", "release")
            if not kept and (type_ is None or dyno.type == type_) and (name is None or dyno.name == name):
                app.dynos.remove(dyno)
                self.spawn(dyno.stop())
        self.settle(app)

    def settle(self, app: App) -> None:
        """Make dynos what the formation says."""
        release = app.current
        if release is None or release.slug is None:
            return
        for formation in app.formation.values():
            if app.is_fir:
                self._settle_fir(app, release, formation)
                continue
            wanted = {f"{formation.type}.{number + 1}" for number in range(formation.quantity)}
            have = {dyno.name for dyno in app.dynos}
            for dyno in [dyno for dyno in app.dynos if dyno.type == formation.type and dyno.name not in wanted]:
                app.dynos.remove(dyno)
                self.spawn(dyno.stop())
            for name in sorted(wanted - have, key=lambda name: int(name.rpartition(".")[2])):
                dyno = Dyno(app, release, name, formation.command, formation.size, self.options)
                app.dynos.append(dyno)
                dyno.task = self.spawn(dyno.run(folder=self.folder / "dynos"))

    def _settle_fir(self, app: App, release: Release, formation: Formation) -> None:
        """Dynos whose names say nothing of which is which: as many as there are to be."""
        have = [dyno for dyno in app.dynos if dyno.type == formation.type]
        for dyno in have[formation.quantity :]:
            app.dynos.remove(dyno)
            self.spawn(dyno.stop())
        for _ in range(formation.quantity - len(have)):
            name = dyno_name(app, formation.type, 0)
            dyno = Dyno(app, release, name, formation.command, formation.size, self.options)
            app.dynos.append(dyno)
            dyno.task = self.spawn(dyno.run(folder=self.folder / "dynos"))

    def run_once(self, app: App, command: str, *, size: str | None, env: dict[str, str], type_: str = "run") -> Dyno:
        """Start a dyno that is not of the formation."""
        if app.current is None or app.current.slug is None:
            raise ApiError(422, "no_slug", "Cannot run a process: the app has no slug yet")
        name = dyno_name(app, type_, random.randrange(1000, 9999))
        dyno = Dyno(app, app.current, name, command, size or app.first_size(self.options.size), self.options)
        dyno.env = env
        app.dynos.append(dyno)

        async def run() -> int:
            try:
                return await dyno.run(again=False, folder=self.folder / "dynos")
            finally:
                if dyno in app.dynos:
                    app.dynos.remove(dyno)

        dyno.task = self.spawn(run())
        return dyno

    def scale(self, app: App, updates: list[dict]) -> list[Formation]:
        """Change quantities and sizes: all of them, or none where one makes no sense."""
        planned: list[tuple[Formation, int, str]] = []
        for update in updates:
            formation = next((one for one in app.formation.values() if update["type"] in (one.type, one.id)), None)
            if formation is None:
                raise ApiError(
                    404, "not_found", f"Couldn't find that process type ({update['type']}).", resource="formation"
                )
            planned.append((formation, _quantity(formation, update.get("quantity")), _size(app, formation, update)))
        if sum(quantity for _, quantity, _ in planned) > MOST_DYNOS:
            raise ApiError(422, "invalid_params", f"This local platform starts {MOST_DYNOS} dynos at most.")
        for _, quantity, size in planned:
            most = size_of(size).most
            if most is not None and quantity > most:
                raise ApiError(
                    422,
                    "cannot_update_above_limit",
                    f"Cannot update to more than {most} {size.capitalize()} size dynos per process type.",
                )
        for formation, quantity, size in planned:
            changed = size != formation.size
            formation.quantity, formation.size, formation.updated_at = quantity, size, now()
            app.log.add("app", "api", f"Scaled to {formation.type}@{quantity}:{size} by user captain@example.org")
            if changed:
                self.restart(app, type_=formation.type)
        self.settle(app)
        return [formation for formation, _, _ in planned]

    def change_config(self, app: App, changes: dict[str, str | None]) -> None:
        """Set and remove config vars: one release for all of them, none where nothing changes."""
        config = dict(app.config)
        for name, value in changes.items():
            if any(addon.variable == name for addon in app.addons) and value is None:
                raise invalid(f"Cannot destroy last attachment config var {name}")
            if value is None:
                config.pop(name, None)
            else:
                config[name] = value
        if config == app.config:
            return
        gone = [name for name in changes if name not in config]
        kept = [name for name in changes if name in config]
        words = [f"Set {', '.join(kept)}"] * bool(kept) + [f"Remove {', '.join(gone)}"] * bool(gone)
        self.release(app, f"{' and '.join(words)} config vars", slug=self.slug_of(app), config=config)

    @staticmethod
    def slug_of(app: App) -> Slug | None:
        """Return the slug that a change of config goes with."""
        return app.current.slug if app.current is not None else None

    def rollback(self, app: App, key: str) -> Release:
        """Make a new release of the code and config of an earlier one."""
        old = app.find_release(key)
        if old is None:
            raise not_found("release", "release")
        if old.slug is None or old.status != "succeeded":
            raise ApiError(
                422, "release_not_eligible", f"Cannot roll back to v{old.version}: it is not eligible for rollback."
            )
        addons = {addon.variable: addon.value for addon in app.addons if addon.state == "provisioned"}
        return self.release(app, f"Rollback to v{old.version}", slug=old.slug, config={**old.config, **addons})

    def create_addon(self, app: App, plan: str, name: str | None, attachment: str | None) -> Addon:
        """Begin to provision a database."""
        service = plan.partition(":")[0]
        value = {"heroku-postgresql": self.options.postgres_url, "heroku-redis": self.options.redis_url}.get(service)
        if service not in SERVICES:
            raise ApiError(
                422, "invalid_params", f'Couldn\'t find either the add-on service or the add-on plan of "{plan}".'
            )
        if value is None:
            raise invalid(f"This local platform was started without a server for {service}")
        variable = f"{attachment or SERVICES[service]}_URL"
        if any(one.variable == variable for one in app.addons):
            variable = f"{service.upper().replace('-', '_')}_{random.choice(('AMBER', 'COBALT', 'IVORY', 'ONYX'))}_URL"
        addon = Addon(
            new_id(),
            name or f"{service.removeprefix('heroku-')}-quiet-{random.randrange(10_000, 99_999)}",
            plan if ":" in plan else f"{plan}:mini",
            variable,
            value,
        )
        app.addons.append(addon)
        self.spawn(self._provision(app, addon))
        return addon

    async def _provision(self, app: App, addon: Addon) -> None:
        await asyncio.sleep(self.options.addon_s)
        if addon not in app.addons:
            return
        addon.state, addon.updated_at = "provisioned", now()
        name = addon.variable.removesuffix("_URL")
        config = {**app.config, addon.variable: addon.value}
        self.release(app, f"Attach {name} (@ref:{addon.name})", slug=self.slug_of(app), config=config)

    def destroy_addon(self, app: App, addon: Addon) -> None:
        """Take a database away, and its config var."""
        app.addons.remove(addon)
        addon.state = "deprovisioned"
        if addon.variable in app.config:
            config = {name: value for name, value in app.config.items() if name != addon.variable}
            name = addon.variable.removesuffix("_URL")
            self.release(app, f"Detach {name} (@ref:{addon.name})", slug=self.slug_of(app), config=config)

    def forget_cache(self, app: App) -> None:
        """Forget what builds of an app kept."""
        with contextlib.suppress(OSError):
            shutil.rmtree(self.folder / "build-cache" / app.id)


def dyno_name(app: App, type_: str, number: int) -> str:
    """Name a dyno: ``web.1``, or ``web-1234abcde-123ab`` where nobody counts them."""
    return f"{type_}-{secrets.token_hex(5)[:9]}-{secrets.token_hex(3)[:5]}" if app.is_fir else f"{type_}.{number}"


def _quantity(formation: Formation, wanted: object) -> int:
    if wanted is None:
        return formation.quantity
    text = str(wanted)
    if text[:1] in "+-" and text[1:].isdigit():
        return max(0, formation.quantity + int(text))
    if not text.isdigit():
        raise invalid(f"Quantity {text!r} is not a number")
    return int(text)


def _size(app: App, formation: Formation, update: dict) -> str:
    wanted = update.get("dyno_size", update.get("size"))
    if isinstance(wanted, dict):
        wanted = wanted.get("name") or wanted.get("id")
    if wanted is None:
        return formation.size
    name = str(wanted).lower()
    if not (is_fir_size(name) if app.is_fir else name in DYNOS):
        raise ApiError(422, "invalid_params", f"No such dyno size: {wanted}.")
    return name
