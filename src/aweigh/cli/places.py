"""``aweigh deploy PLACE`` and what comes after it: a group for each verb, and in it the places that have the verb.

A place's commands live in modules of its own and are imported when they are typed; the lines of help stand here, so
that ``aweigh deploy --help`` imports none of them.
"""

from collections.abc import Mapping

import click

from aweigh.cli import command_at
from aweigh.cli.door import help_alone
from aweigh.errors import UsageError

PLACES: Mapping[str, Mapping[str, str]] = {
    # place: {verb: "module:attribute"}, in the order in which they are listed
    "heroku": {
        "deploy": "aweigh.cli.heroku:deploy_heroku",
        "status": "aweigh.cli.heroku_after:status_heroku",
        "logs": "aweigh.cli.heroku_after:logs_heroku",
        "releases": "aweigh.cli.heroku_after:releases_heroku",
        "rollback": "aweigh.cli.heroku_after:rollback_heroku",
        "scale": "aweigh.cli.heroku_after:scale_heroku",
        "config": "aweigh.cli.heroku_after:config_heroku",
        "open": "aweigh.cli.heroku_after:open_heroku",
        "pipeline": "aweigh.cli.heroku_pipeline:pipeline_heroku",
        "review": "aweigh.cli.heroku_pipeline:review_heroku",
        "promote": "aweigh.cli.heroku_after:promote_heroku",
        "destroy": "aweigh.cli.heroku_after:destroy_heroku",
    },
    "compose": {
        "deploy": "aweigh.cli.compose:deploy_compose",
        "status": "aweigh.cli.compose_after:status_compose",
        "logs": "aweigh.cli.compose_after:logs_compose",
        "releases": "aweigh.cli.compose_after:releases_compose",
        "rollback": "aweigh.cli.compose_after:rollback_compose",
        "scale": "aweigh.cli.compose_after:scale_compose",
        "config": "aweigh.cli.compose_after:config_compose",
        "open": "aweigh.cli.compose_after:open_compose",
        "destroy": "aweigh.cli.compose_after:destroy_compose",
    },
    "ssh": {
        "deploy": "aweigh.cli.ssh:deploy_ssh",
        "status": "aweigh.cli.ssh_after:status_ssh",
        "logs": "aweigh.cli.ssh_after:logs_ssh",
        "releases": "aweigh.cli.ssh_after:releases_ssh",
        "rollback": "aweigh.cli.ssh_after:rollback_ssh",
        "scale": "aweigh.cli.ssh_after:scale_ssh",
        "config": "aweigh.cli.ssh_after:config_ssh",
        "destroy": "aweigh.cli.ssh_after:destroy_ssh",
    },
    "dokku": {
        "deploy": "aweigh.cli.dokku:deploy_dokku",
        "status": "aweigh.cli.dokku:status_dokku",
        "logs": "aweigh.cli.dokku:logs_dokku",
        "scale": "aweigh.cli.dokku:scale_dokku",
        "destroy": "aweigh.cli.dokku:destroy_dokku",
    },
    "kubernetes": {
        "deploy": "aweigh.cli.kubernetes:deploy_kubernetes",
        "status": "aweigh.cli.kubernetes_after:status_kubernetes",
        "logs": "aweigh.cli.kubernetes_after:logs_kubernetes",
        "releases": "aweigh.cli.kubernetes_after:releases_kubernetes",
        "rollback": "aweigh.cli.kubernetes_after:rollback_kubernetes",
        "scale": "aweigh.cli.kubernetes_after:scale_kubernetes",
        "config": "aweigh.cli.kubernetes_after:config_kubernetes",
        "destroy": "aweigh.cli.kubernetes_after:destroy_kubernetes",
    },
    "ray": {
        "deploy": "aweigh.cli.ray:deploy_ray",
        "status": "aweigh.cli.ray_after:status_ray",
        "logs": "aweigh.cli.ray_after:logs_ray",
        "releases": "aweigh.cli.ray_after:releases_ray",
        "rollback": "aweigh.cli.ray_after:rollback_ray",
        "scale": "aweigh.cli.ray_after:scale_ray",
        "destroy": "aweigh.cli.ray_after:destroy_ray",
    },
}
"""Every place, and which of the verbs it has."""

TOLD: Mapping[str, str] = {
    "heroku": "Heroku: one command, built there.",
    "compose": "Containers on this machine: Docker or podman, with PostgreSQL and Valkey.",
    "kubernetes": "Kubernetes: a cluster, by its API; or files for kubectl, kustomize and helm.",
    "ray": "Ray Serve: a cluster that runs; or a RayService for KubeRay.",
    "dokku": "Dokku: a repository pushed over ssh, built there.",
    "ssh": "A server of your own: systemd, Caddy, no failed request.",
}
"""What a place is, in the list of a verb's help."""


ALSO_CALLED: Mapping[str, str] = {
    **dict.fromkeys(("docker", "podman", "docker-compose"), "compose"),
    **dict.fromkeys(("k8s", "kube", "helm"), "kubernetes"),
}
"""What people type for a place that has another name here."""


class PlaceGroup(click.Group):
    """A verb: its commands are the places that have it."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's interface
        """The places that have this verb."""
        return [place for place, verbs in PLACES.items() if self.name in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb at that place, its module imported now; None where the place is not known or has no such verb."""
        named = PLACES.get(cmd_name, {}).get(self.name or "")
        return None if named is None else command_at(named)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of the place that is typed.

        Raises:
            UsageError: it has another name here, which the hint says.
            click.UsageError: there is none; those that there are, are named.
        """
        known = self.list_commands(ctx)
        named = ALSO_CALLED.get(args[0].casefold(), "")
        if named in known:
            raise UsageError(
                f"{self.name} knows no {args[0][:60]!r}: it is called {named} here.",
                hint=f"aweigh {self.name} {named} --help",
            )
        if args[0] not in known and not args[0].startswith("-"):
            raise click.UsageError(f"{self.name} knows no {args[0][:60]!r}, only {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of places, without importing one of them."""
        with formatter.section("Places"):
            formatter.write_dl([(place, TOLD[place]) for place in self.list_commands(ctx)])


def _verb(name: str, told: str) -> PlaceGroup:
    shown = click.pass_context(help_alone)
    return PlaceGroup(
        name, help=told, callback=shown, invoke_without_command=True, subcommand_metavar="PLACE [ARGS]..."
    )


deploy = _verb(
    "deploy",
    "Take a bundle, a folder or a Streamlit script live, and check that it answers as the original model does.",
)
status = _verb("status", "Say what runs of an app at a place: release, bundle, replicas, and what it warns of.")
logs = _verb("logs", "Read an app's log.")
releases = _verb("releases", "List an app's releases.")
rollback = _verb("rollback", "Go back to an earlier release.")
scale = _verb("scale", "Say how many replicas there are to be, and of which size.")
config = _verb("config", "Show and change an app's settings.")
open_ = _verb("open", "Open an app in the browser.")
pipeline = _verb("pipeline", "Put an app into a stage of a pipeline, or list what is in it.")
review = _verb("review", "Make an app of its own for a branch, list them, and take them away.")
promote = _verb("promote", "Take what is live in one app to others of its pipeline.")
destroy = _verb("destroy", "Destroy an app.")
