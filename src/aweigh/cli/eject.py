"""``aweigh eject``: the generated app as files of the user's own."""

import shlex
from pathlib import Path

import click

from aweigh.cli.terminal import Steps, human_size
from aweigh.cli.trusting import trust_option, trusted
from aweigh.errors import UsageError


@click.command()
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="The folder to write to (default: NAME-app).")  # fmt: skip
@click.option("--force", is_flag=True, help="Write over files that are there.")
@trust_option
def eject(path: Path, output: Path | None, force: bool, trust: Path | None) -> None:
    """Write the generated app of a BUNDLE as a Streamlit script to make your own.

    The script asks the same API as the app does. It is yours from then on: aweigh never writes to it again.
    """
    from aweigh.bundle.atomic import require_writable_below
    from aweigh.bundle.verify import verify
    from aweigh.ui.eject import files_of

    require_writable_below(output or Path())
    bundle = verify(path, trust=trusted(trust))
    folder = output or Path(f"{bundle.manifest.name}-app")
    files = files_of(bundle.manifest, bundle.schema, bundle=shlex.quote(path.name))
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise UsageError(
            f"{folder / there[0]} is there already.", hint="name another folder with -o, or write over it with --force"
        )
    steps = Steps()
    for name, text in files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        content = text.encode()
        target.write_bytes(content)
        steps.line("wrote", str(target), figure=human_size(len(content)))
    app = folder / "app.py"
    option = "" if trust is None else f" --trust {shlex.quote(str(trust))}"
    steps.next(f"aweigh serve {shlex.quote(str(path))} --app {shlex.quote(str(app))}{option}")
