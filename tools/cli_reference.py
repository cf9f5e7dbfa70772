"""Write docs/reference/cli.md from the commands themselves, or with --check say what is out of date and exit 1."""

import difflib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from aweigh.cli import cli

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"

HEAD = """<!-- Made by `make docs` from the commands themselves: a change here is lost. -->
# Command line

"""

# What every command takes is said once, at the top.
EVERYWHERE = {"--debug", "--help"}


def commands(group: click.Group, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield every command below a group, in the order in which help lists them, each group before its own commands."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if command is None or command.hidden:
            continue
        own = click.Context(command, info_name=name, parent=ctx, **command.context_settings)
        yield command, own
        if isinstance(command, click.Group):
            yield from commands(command, own)


def prose(text: str) -> str:
    """Return a help text as Markdown; a paragraph that click must not rewrap (it begins with a backspace) as code."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text.split("\f", maxsplit=1)[0]).split("\n\n"):
        if paragraph.startswith("\b"):
            paragraphs.append("```text\n" + inspect.cleandoc(paragraph.removeprefix("\b").lstrip("\n")) + "\n```")
        else:
            paragraphs.append(" ".join(paragraph.split()))
    return "\n\n".join(part for part in paragraphs if part)


def row(parameter: click.Parameter, ctx: click.Context) -> str:
    """Return one parameter's line of the table: how it is written, what it does, what holds without it."""
    written, told = f"`{parameter.make_metavar(ctx)}`", getattr(parameter, "help", None) or ""
    if isinstance(parameter, click.Option):
        takes = "" if parameter.is_flag or parameter.count else f" {parameter.make_metavar(ctx)}"
        names = [*sorted(parameter.opts, key=len), *sorted(parameter.secondary_opts, key=len)]
        written = ", ".join(f"`{name}{takes if name == names[-1] else ''}`" for name in names)
    if parameter.required and isinstance(parameter, click.Option):
        told = f"{told} Required."
    if parameter.envvar:
        names = [parameter.envvar] if isinstance(parameter.envvar, str) else list(parameter.envvar)
        told = f"{told} Also from {', '.join(f'`{name}`' for name in names)}."
    shown = isinstance(parameter.default, str | int | float | Path) and not isinstance(parameter.default, bool)
    default = f"`{parameter.default}`" if shown and parameter.default != "" else ""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in (written, told, default)) + " |"


def section(command: click.Command, ctx: click.Context) -> str:
    """Return one command's section: its help, how it is called, its parameters."""
    path = ctx.command_path
    depth = path.count(" ") + 1
    usage = " ".join([path, *command.collect_usage_pieces(ctx)])
    parts = [f"{'#' * depth} {path}" if depth > 1 else "", prose(command.help or ""), f"```text\n{usage}\n```"]
    shown = [one for one in command.get_params(ctx) if not getattr(one, "hidden", False)]
    rows = [row(one, ctx) for one in shown if depth == 1 or not EVERYWHERE.intersection(one.opts)]
    if rows:
        parts.append("\n".join(["| | | without it |", "|---|---|---|", *rows]))
    if command.epilog:
        parts.append(prose(command.epilog))
    if depth == 1:
        parts.append("Every command takes `--help` and `--debug`, too.")
    return "\n\n".join(part for part in parts if part)


def page() -> str:
    """Return the whole page."""
    top = click.Context(cli, info_name="aweigh", **cli.context_settings)
    sections = [section(cli, top), *(section(command, ctx) for command, ctx in commands(cli, top))]
    return HEAD + "\n\n".join(sections) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in arguments:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    there = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    before, after = there.splitlines(), text.splitlines()
    difference = list(difflib.unified_diff(before, after, "the page", "the commands", lineterm=""))
    print("\n".join([*difference, "run `make docs` and commit the page"] if difference else ["the page is current"]))
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
