"""The group of all commands, and what runs one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..profiles import Profiles
    from ._run import Session

EXIT = """\b
Exit status: 0 all was done; 1 something failed, each told on standard
error; 2 wrong usage or configuration; 130 interrupted; 141 the reader of
the output went away; 143 terminated."""


@dataclass
class Asked:
    """What was asked of the group."""

    load: Callable[[], Profiles]
    profile: str | None
    debug: bool


def _load(config: str | None) -> Callable[[], Profiles]:
    def load() -> Profiles:
        from ..profiles import Profiles

        return Profiles.load(config)

    return load


class Commands(click.Group):
    """Commands that an interruption ends as one of the shell's, also while they are imported."""

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            context.exit(130)


@click.group(cls=Commands, context_settings={"help_option_names": ["--help"]}, epilog=EXIT)
@click.option("--config", metavar="FILE", help="Profiles; else $AIOSTOW_CONFIG, or the user's own.")
@click.option("-p", "--profile", envvar="AIOSTOW_PROFILE", help="Of keys that name none.")
@click.option("--debug", is_flag=True, help="Show where an error comes from.")
@click.version_option(package_name="aiostow", prog_name="aiostow")
@click.pass_context
def aiostow(context: click.Context, config: str | None, profile: str | None, debug: bool) -> None:
    """Files on S3, Azure Blob, SFTP and the local disk.

    Write an object as PROFILE:KEY or as a URL (s3://bucket/key, az://container/key,
    sftp://user@host/path, file:///path). A key alone is one of the default profile; './name' is a
    local path, and '-' standard input or output.
    """
    context.obj = Asked(_load(config), profile, debug)


def run_session(action: Callable[[Session], Awaitable[None]]) -> None:
    """Run a command's action, and end with its exit status."""
    from ._run import run

    context = click.get_current_context()
    asked = context.obj
    context.exit(run(asked.load, asked.profile, asked.debug, action))


def read_as(parse: Callable[[str], float]) -> Callable[..., float | None]:
    """Return the callback of an option that `parse` reads."""

    def convert(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
        try:
            return None if value is None else parse(value)
        except ValueError as exc:
            raise click.BadParameter(str(exc), context, option) from None

    return convert
