"""The command line: each command is a module of this folder, imported only when it is the one that was typed.

``aweigh --help`` prints from ``COMMANDS`` alone, so that it answers at once. A command is a ``click.Command`` that
prints through ``cli/terminal.py`` and raises the errors of ``errors.py``; ``__main__.main`` turns those into sentences
and exit codes. ``--debug`` is accepted before and after every command's name.
"""

import difflib
import importlib

import click

from aweigh._version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    # name: ("module:attribute", "One line of help."), in the order in which people need them
    "demo": ("aweigh.cli.demo:demo", "Train on real data, pack, verify and serve: the whole road in one command."),
    "pack": ("aweigh.cli.pack:pack", "Make a bundle of a trained model, proven to answer as the original does."),
    "inspect": ("aweigh.cli.inspect:inspect_bundle", "Show what is in a bundle: model, proof, columns, files."),
    "verify": ("aweigh.cli.verify:verify_bundle", "Check every byte of a bundle, and who has signed it."),
    "keygen": ("aweigh.cli.keygen:keygen", "Make a key to sign bundles with."),
    "sign": ("aweigh.cli.sign:sign_bundle", "Sign a bundle: put a name to every byte of it."),
    "audit": ("aweigh.cli.audit:audit_bundle", "Tell the known vulnerabilities of what a bundle is served with."),
    "serve": ("aweigh.cli.serve:serve", "Serve a bundle, or a Streamlit script, on one port: the app and the API."),
    "plan": ("aweigh.cli.plan:plan_bundle", "Measure a bundle and say what a machine holds of it."),
    "doctor": ("aweigh.cli.doctor:doctor", "Say what would go wrong at a place, before it does; no account is needed."),
    "up": ("aweigh.cli.up:up", "Run the processes of a Procfile here, as Heroku would run them."),
    "lock": ("aweigh.cli.lock:lock", "Write exact, hashed requirements of a script, a folder or a model file."),
    "worker": ("aweigh.cli.worker:worker", "Run the jobs that were posted to a bundle's servers."),
    "migrate": ("aweigh.cli.migrate:migrate", "Make the tables that servers use, before they start."),
    "forget": ("aweigh.cli.forget:forget", "Erase a person's rows from everything that stores them, and prove it."),
    "predict": ("aweigh.cli.predict:predict", "Answer every row of a file, of any size."),
    "image": ("aweigh.cli.image:image", "Build a container image of a bundle, without Docker, and push it."),
    "push": ("aweigh.cli.push:push_bundle", "Put a bundle into a registry, where images lie."),
    "pull": ("aweigh.cli.push:pull_bundle", "Fetch a bundle from a registry, and check every byte of it."),
    "deploy": ("aweigh.cli.places:deploy", "Take a bundle, a folder or a Streamlit script live on a platform."),
    "status": ("aweigh.cli.places:status", "Say what runs of an app on a platform."),
    "logs": ("aweigh.cli.places:logs", "Read an app's log."),
    "releases": ("aweigh.cli.places:releases", "List an app's releases."),
    "rollback": ("aweigh.cli.places:rollback", "Go back to an earlier release."),
    "scale": ("aweigh.cli.places:scale", "Say how many replicas there are to be, and of which size."),
    "config": ("aweigh.cli.places:config", "Show and change an app's settings."),
    "open": ("aweigh.cli.places:open_", "Open an app in the browser."),
    "pipeline": ("aweigh.cli.places:pipeline", "Put an app into a stage of a pipeline."),
    "review": ("aweigh.cli.places:review", "Make an app of its own for a branch, and take it away again."),
    "promote": ("aweigh.cli.places:promote", "Take what is live in one app to others of its pipeline."),
    "destroy": ("aweigh.cli.places:destroy", "Destroy an app."),
    "release": (
        "aweigh.cli.release:release",
        "Try a second bundle in a running server: canary, shadow, promote, abort.",
    ),
    "users": ("aweigh.cli.users:users", "Say who may come in: add, list, role, disable, remove, invite, import."),
    "keys": ("aweigh.cli.keys:keys", "Make and end keys for programs."),
    "audit-log": ("aweigh.cli.audit_log:audit_log", "Show who did what when, and check that nobody has changed it."),
    "eject": ("aweigh.cli.eject:eject", "Write the generated app as a Streamlit script to make your own."),
}
"""Every command, where it lives, and what ``aweigh --help`` says of it."""


def debug_option() -> click.Option:
    """``--debug``, which only ``__main__.main`` looks at: everywhere else it is accepted and means nothing."""
    return click.Option(["--debug"], is_flag=True, expose_value=False, help="Show the traceback of an error.")


def command_at(named: str) -> click.Command:
    """The command at ``module:attribute``, its module imported now; it takes ``--debug``, as those below it do."""
    module, _, attribute = named.partition(":")
    command: click.Command = getattr(importlib.import_module(module), attribute)
    below = command.commands.values() if isinstance(command, click.Group) else ()
    for each in (command, *below):
        if not any("--debug" in one.opts for one in each.params):
            each.params.append(debug_option())
    return command


class CommandGroup(click.Group):
    """The group ``aweigh``: commands by name from ``COMMANDS``, the nearest offered for a name that is none."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's interface
        """The names of all commands, in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, its module imported now; None when there is none."""
        if cmd_name not in COMMANDS:
            return None
        return command_at(COMMANDS[cmd_name][0])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments name.

        Raises:
            click.UsageError: there is none of that name; the nearest is offered.
        """
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name.casefold(), list(COMMANDS), n=1)
        ask = f" Did you mean {near[0]!r}?" if near else ""
        raise click.UsageError(f"No command is named {name[:60]!r}.{ask}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands in ``aweigh --help``, without importing one of them."""
        if COMMANDS:
            with formatter.section("Commands"):
                formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=CommandGroup,
    name="aweigh",
    params=[debug_option()],
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="'aweigh COMMAND --help' says more of a command.",
)
@click.version_option(__version__, prog_name="aweigh", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """From a trained model file to a web application.

    An app for people and an API for programs, behind one port, with answers proven equal to the original model's.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
