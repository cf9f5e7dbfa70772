"""From a source to a slug and its release: unpack, check as the Python buildpack does, install, read the Procfile.

It is unlike Heroku's in this: requirements go into a virtual environment beside the slug, made with uv where there is
one, and kept by what was asked for, so that the same lock is installed once; a Python that this machine does not have
is a failed build; Pipenv and Poetry are checked for, and install nothing unless the option ``prebuilt`` says what to
run with.
"""

import asyncio
import gzip
import hashlib
import os
import re
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.heroku.buildpack import BuildFailed, Plan, check, detect
from tests.heroku.state import App, Build, Slug, new_id
from tests.heroku.streams import now

from aweigh.targets.heroku.dynos import LARGE_SLUG_BYTES
from aweigh.targets.procfile import read_procfile

if TYPE_CHECKING:
    from tests.heroku.platform import Platform

MB = 2**20
INSTALL_S = 900.0


async def run_build(platform: "Platform", app: App, build: Build) -> None:
    """Do a whole build; its status says how it ended, its output what happened."""
    out = build.output
    app.log.add("app", "api", "Build started by user captain@example.org")
    try:
        try:
            build.slug = await _make_slug(platform, app, build)
        except BuildFailed as failed:
            for line in str(failed).splitlines():
                out.line(f" !     {line}".rstrip())
            out.line(" !     Push rejected, failed to compile Python app.")
            build.status, build.updated_at = "failed", now()
            app.log.add("app", "api", "Build failed -- check your build output")
            return
        app.slugs[build.slug.id] = build.slug
        version = build.source.get("version") or build.slug.id
        build.release = platform.release(app, f"Deploy {version[:8]}", slug=build.slug)
        if build.release.status == "pending":
            out.line("-----> Launching...")
            out.line(
                " !     Release command declared: this new release will not be available until the command succeeds."
            )
            out.line(f"       Released v{build.release.version}")
        else:
            out.line("-----> Launching...")
            out.line(f"       Released v{build.release.version}")
            out.line(f"       {app.web_url} deployed to Heroku")
        build.status, build.updated_at = "succeeded", now()
        app.log.add("app", "api", "Build succeeded")
    except asyncio.CancelledError:
        build.status = "failed"
        out.line(" !     Build cancelled")
        raise
    except Exception as error:
        build.status = "failed"
        out.line(f" !     The local platform failed: {error!r}")
        raise
    finally:
        out.close()


async def _make_slug(platform: "Platform", app: App, build: Build) -> Slug:
    out = build.output
    slug_id = new_id()
    folder = platform.folder / "slugs" / slug_id
    folder.mkdir(parents=True)
    tarball = await fetch_source(platform, build.source)
    out.line(f"-----> Building on the {app.stack.capitalize()} stack")
    out.line("-----> Determining which buildpack to use for this app")
    await asyncio.to_thread(_unpack, tarball, folder)
    detect(folder)
    out.line("-----> Python app detected")
    plan = check(folder, "heroku-24" if app.is_fir else app.stack)
    for warning in plan.warnings:
        out.line()
        for line in warning.splitlines():
            out.line(f" !     {line}".rstrip())
        out.line()
    if app.is_fir and plan.manager == "Pipenv":
        raise BuildFailed("Error: Couldn't find any supported Python package manager files.")
    await _hook("pre_compile", folder, app, None, build)
    named = "the buildpack default" if plan.origin == "default" else plan.origin
    out.line(f"-----> Using Python {plan.python} specified in {named}")
    environment = await _environment(platform, folder, plan, tarball, build)
    await _hook("post_compile", folder, app, environment, build)
    processes = _processes(folder)
    out.line("-----> Discovering process types")
    out.line(f"       Procfile declares types -> {', '.join(sorted(processes)) or '(none)'}")
    out.line()
    out.line("-----> Compressing...")
    size = await asyncio.to_thread(_weigh, folder)
    if platform.options.weigh_environment and platform.options.prebuilt is None:
        size += await asyncio.to_thread(_weigh, environment)
    limit = platform.options.slug_limit_bytes
    if size > limit:
        raise BuildFailed(
            f"Compiled slug size: {size / MB:.1f}M is too large (max is {limit // MB}M).\n"
            "See: http://devcenter.heroku.com/articles/slug-size"
        )
    out.line(f"       Done: {size / MB:.1f}M")
    if size > LARGE_SLUG_BYTES:
        out.line(
            f" !     Warning: Your slug size ({size // MB} MB) exceeds our soft limit (300 MB) "
            "which may affect boot time."
        )
    return Slug(slug_id, folder, environment, processes, size, app.stack, build.source.get("version"))


async def fetch_source(platform: "Platform", blob: dict[str, str]) -> Path:
    """Return the tarball of a source: one that was put here, or one that this machine serves; check its digest."""
    url = blob["url"]
    parts = urlsplit(url)
    if url.startswith(f"{platform.base}/_sources/"):
        source = platform.sources.get(parts.path.rpartition("/")[2])
        if source is None or parts.query != f"Signature=get-{source.key}" or not source.path.is_file():
            raise BuildFailed("Could not download source code: 404 Not Found")
        path = source.path
    elif parts.scheme in ("http", "https") and parts.hostname in ("127.0.0.1", "localhost"):
        path = platform.folder / "sources" / new_id()
        path.parent.mkdir(exist_ok=True)
        try:
            await asyncio.to_thread(urllib.request.urlretrieve, url, path)
        except OSError as error:
            raise BuildFailed(f"Could not download source code: {error}") from error
    else:
        raise BuildFailed("Could not download source code: this local platform reads from this machine alone")
    wanted = blob.get("checksum")
    if wanted:
        found = await asyncio.to_thread(lambda: hashlib.sha256(path.read_bytes()).hexdigest())
        if wanted.lower() != f"sha256:{found}":
            raise BuildFailed(f"Checksum of the source does not match: expected {wanted}, got SHA256:{found}")
    return path


def _unpack(tarball: Path, folder: Path) -> None:
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise BuildFailed(f"Unable to extract the source: {error}") from error
    ignored = folder / ".slugignore"
    if ignored.is_file():
        for pattern in ignored.read_text().split():
            for path in folder.glob(pattern.strip("/")):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _processes(folder: Path) -> dict[str, str]:
    file = folder / "Procfile"
    return dict(read_procfile(file.read_text(errors="replace")).processes) if file.is_file() else {}


def _weigh(folder: Path) -> int:
    """Return the size of a folder as a compressed archive, in bytes."""

    class Count:
        size = 0

        def write(self, data: bytes) -> int:
            self.size += len(data)
            return len(data)

        def flush(self) -> None: ...

    count = Count()
    with (
        gzip.GzipFile(fileobj=count, mode="wb", compresslevel=1) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        archive.add(folder, ".")
    return count.size


async def _environment(platform: "Platform", folder: Path, plan: Plan, tarball: Path, build: Build) -> Path:
    out = build.output
    if platform.options.prebuilt is not None:
        out.line(f"-----> Using the environment that this local platform was given, whatever {plan.manager} asks for")
        return platform.options.prebuilt
    if plan.manager in ("Pipenv", "Poetry"):
        raise BuildFailed(f"Error: This local platform installs with pip and uv alone, not with {plan.manager}.")
    python = _find_python(plan)
    lock = "uv.lock" if plan.manager == "uv" else "requirements.txt"
    cache = (platform.options.cache or platform.folder / "environments") / _key(folder, lock, plan, tarball)
    if (cache / ".complete").is_file():
        out.line("-----> Restoring cache")
        out.line(f"-----> Using cached install of {python}")
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(cache, ignore_errors=True)
    out.line(f"-----> Installing Python {plan.python}")
    uv = shutil.which("uv") or _beside("uv")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")}
    await _run([python, "-m", "venv", *(["--without-pip"] if uv else []), str(cache)], folder, env, build, quiet=True)
    inside = str(cache / "bin" / "python")
    if plan.manager == "uv":
        out.line("-----> Installing dependencies using 'uv sync --locked --no-default-groups'")
        if uv is None:
            raise BuildFailed("Error: This local platform has no uv.")
        env["UV_PROJECT_ENVIRONMENT"] = str(cache)
        command = [uv, "sync", "--locked", "--no-default-groups", "--python", inside, "--no-progress"]
    else:
        out.line("-----> Installing dependencies using 'pip install -r requirements.txt'")
        command = [inside, "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--progress-bar", "off"]
        if uv is not None:
            command = [uv, "pip", "install", "--python", inside, "--no-progress"]
        command += ["-r", "requirements.txt"]
    await _run(command, folder, env, build)
    (cache / ".complete").touch()
    return cache


def _beside(name: str) -> str | None:
    path = Path(sys.prefix) / "bin" / name
    return str(path) if path.is_file() else None


def _find_python(plan: Plan) -> str:
    """Find an interpreter of the version that is asked for; where nobody asked for one, ours will do."""
    wanted = ".".join(plan.python.split(".")[:2])
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if wanted == ours:
        return sys.executable
    found = shutil.which(f"python{wanted}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    named = sorted(pyenv.glob(f"{wanted}.*/bin/python{wanted}"))
    if named:
        return str(named[-1])
    if found:
        return found
    if plan.origin == "default":
        return sys.executable
    raise BuildFailed(f"Error: This machine has no Python {wanted}, and the local platform downloads none.")


def _key(folder: Path, lock: str, plan: Plan, tarball: Path) -> str:
    digest = hashlib.sha256(f"{plan.python} {plan.manager} ".encode())
    text = (folder / lock).read_text(errors="replace")
    digest.update(text.encode())
    for wheel in sorted(folder.rglob("*.whl")):
        digest.update(wheel.name.encode() + hashlib.sha256(wheel.read_bytes()).digest())
    if lock == "uv.lock" or re.search(r"^\s*(-e\b|-r\b|-c\b|\.(?!\S*\.whl)|file:)", text, re.MULTILINE):
        digest.update(hashlib.sha256(tarball.read_bytes()).digest())
    return digest.hexdigest()[:24]


async def _hook(name: str, folder: Path, app: App, environment: Path | None, build: Build) -> None:
    """Run the folder's own bin/pre_compile or bin/post_compile, as the buildpack does."""
    hook = folder / "bin" / name
    if hook.is_file() and not app.is_fir:
        build.output.line(f"-----> Running bin/{name} hook")
        first = f"{environment / 'bin'}:" if environment else ""
        env = {"PATH": f"{first}/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), **app.config}
        await _run(["/bin/sh", str(hook)], folder, env, build, what=f"run the bin/{name} script")


async def _run(
    command: list[str],
    folder: Path,
    env: dict[str, str],
    build: Build,
    *,
    quiet: bool = False,
    what: str = "install dependencies",
) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(INSTALL_S):
            while line := await process.stdout.readline():
                if not quiet:
                    build.output.line(f"       {line.decode(errors='replace').rstrip()}")
            status = await process.wait()
    except BaseException:
        if process.returncode is None:
            process.kill()
            await process.wait()
        raise
    if status:
        raise BuildFailed(f"Error: Unable to {what}.\n\nSee the log output above for more information. ({status})")
