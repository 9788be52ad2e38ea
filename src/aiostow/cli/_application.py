"""All commands, as a program of their own or as a group of an application's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from . import _commands, _upkeep  # each adds its commands to the group
from ._group import EXIT, Asked, Commands, aiostow

if TYPE_CHECKING:
    from ..profiles import Profiles

__all__ = ["_commands", "_upkeep", "aiostow", "storage_group"]


def storage_group(
    load: Callable[[], Profiles], name: str, default: str | None = None
) -> click.Group:
    """Return the same commands as a group of an application's own, over its profiles.

    Args:
        load: returns the profiles anew; they are closed at the end of a command.
        name: of the group.
        default: the profile of keys that name none; None for the first.
    """

    @click.pass_context
    def group(context: click.Context, profile: str | None, debug: bool) -> None:
        context.obj = Asked(load, profile or default, debug)

    options: list[click.Parameter] = [
        click.Option(["-p", "--profile", "--location"], help="Of keys that name none."),
        click.Option(["--debug"], is_flag=True, help="Show where an error comes from."),
    ]
    return Commands(
        name, dict(aiostow.commands), callback=group, params=options, epilog=EXIT,
        help="Files of the application's storages.",
    )  # fmt: skip
