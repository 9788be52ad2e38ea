"""The commands for files and their options. What they do is imported when one of them runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ._group import aiostow, read_as, run_session
from ._units import parse_seconds, parse_size

if TYPE_CHECKING:
    from ._run import Session


def _listing(paths: tuple[str, ...], long: bool, human: bool, as_json: bool, all: bool) -> None:
    async def action(session: Session) -> None:
        from ._listing import line_format, list_objects

        places = [session.places.read(path) for path in paths or ("",)]
        await list_objects(session, places, line_format(long, human, as_json), recursive=all)

    run_session(action)


@aiostow.command()
@click.argument("paths", nargs=-1)
@click.option("-l", "--long", is_flag=True, help="Size and time (UTC), too.")
@click.option("-h", "--human", is_flag=True, help="As --long, with sizes such as 1.5M.")
@click.option("-R", "--recursive", is_flag=True, help="All levels.")
@click.option("--json", "as_json", is_flag=True, help="An object of JSON on each line.")
def ls(paths: tuple[str, ...], long: bool, human: bool, recursive: bool, as_json: bool) -> None:
    """List what is below PATHS, or in the default profile."""
    _listing(paths, long, human, as_json, recursive)


@aiostow.command("list", hidden=True)
@click.argument("paths", nargs=-1)
@click.option("--simple", is_flag=True, help="Names alone.")
def list_(paths: tuple[str, ...], simple: bool) -> None:
    """List all that is below PATHS, with sizes and times."""
    _listing(paths, not simple, False, False, True)


_recursive = click.option("-r", "-R", "--recursive", is_flag=True, help="Whole trees.")
_keep = click.option("-n", "--no-clobber", is_flag=True, help="Leave alone what is there already.")
_jobs = click.option("-j", "--jobs", type=click.IntRange(1, 64), default=8, show_default=True,
                     help="Files at once.")  # fmt: skip
_quiet = click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
_type = click.option("--content-type", metavar="TYPE", help="Of what is stored.")


def _transfer(
    word: str,
    read: Callable[[Session], tuple[list[Any], Any]],
    **options: Any,
) -> None:
    async def action(session: Session) -> None:
        from ._transfer import Transfer

        await Transfer(word, **options).run(session, *read(session))

    run_session(action)


@aiostow.command()
@click.argument("paths", nargs=-1, required=True, metavar="SOURCES... [DESTINATION]")
@_recursive
@_keep
@_jobs
@_quiet
def get(paths: tuple[str, ...], no_clobber: bool, **options: Any) -> None:
    """Copy objects to local files, or to '-'.

    Each file is there whole or not at all. A single object without a destination comes by its name.
    """
    sources, destination = (paths[:-1], paths[-1]) if len(paths) > 1 else (paths, "./")
    _transfer(
        "get",
        lambda session: (
            [session.places.read(each) for each in sources],
            session.places.read(destination, "file"),
        ),
        keep=no_clobber, **options,
    )  # fmt: skip


@aiostow.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("destination", required=True)
@_type
@_recursive
@_keep
@_jobs
@_quiet
def put(sources: tuple[str, ...], destination: str, no_clobber: bool, **options: Any) -> None:
    """Copy local files, or '-', to objects.

    Each object is there whole or not at all. DESTINATION is a folder if it ends with '/', or if
    there are several SOURCES.
    """
    _transfer(
        "put",
        lambda session: (
            [session.places.read(each, "file") for each in sources],
            session.places.read(destination),
        ),
        keep=no_clobber, **options,
    )  # fmt: skip


def _both(word: str, sources: tuple[str, ...], destination: str, **options: Any) -> None:
    def read(session: Session) -> tuple[list[Any], Any]:
        *first, last = session.places.read_all([*sources, destination])
        return first, last

    _transfer(word, read, **options)


@aiostow.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("destination", required=True)
@_type
@_recursive
@_keep
@_jobs
@_quiet
def cp(sources: tuple[str, ...], destination: str, no_clobber: bool, **options: Any) -> None:
    """Copy between storages, or between one and local files.

    Where one side is of a storage, a plain name is a local path; if all are plain, they are keys of
    the default profile.
    """
    _both("cp", sources, destination, keep=no_clobber, **options)


@aiostow.command()
@click.argument("sources", nargs=-1, required=True)
@click.argument("destination", required=True)
@_recursive
@_keep
@_jobs
@_quiet
def mv(sources: tuple[str, ...], destination: str, no_clobber: bool, **options: Any) -> None:
    """Move as 'cp' copies; each file is removed when it has arrived."""
    _both("mv", sources, destination, keep=no_clobber, move=True, **options)


@aiostow.command()
@click.argument("paths", nargs=-1, required=True)
def cat(paths: tuple[str, ...]) -> None:
    """Write objects to standard output, one after the other."""

    async def action(session: Session) -> None:
        from ._places import Stream
        from ._transfer import Transfer

        read = session.places
        places: list[Any] = [read.as_object(read.read(path)) for path in paths]
        await Transfer("cat", jobs=1).run(session, places, Stream())

    run_session(action)


@aiostow.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("-r", "-R", "--recursive", is_flag=True, help="All that is below, too.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
def rm(paths: tuple[str, ...], **options: bool) -> None:
    """Remove objects."""

    async def action(session: Session) -> None:
        from ._removal import remove

        places = [session.places.read(path) for path in paths]
        await remove(session, places, **options)

    run_session(action)


@aiostow.command()
@click.argument("paths", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="An object of JSON on each line.")
def stat(paths: tuple[str, ...], as_json: bool) -> None:
    """Tell what is known of objects."""

    async def action(session: Session) -> None:
        from ._listing import show_facts

        places = [session.places.read(path) for path in paths]
        await show_facts(session, places, as_json=as_json)

    run_session(action)


@aiostow.command()
@click.argument("path")
@click.option("-e", "--expire", "--expiration", callback=read_as(parse_seconds), default="1h",
              show_default=True, metavar="DURATION",
              help="When it ends: seconds from now, or as in 15m, 1h or 2d.")  # fmt: skip
@click.option("--download", is_flag=True, help="Allow it; so it is if nothing else is said.")
@click.option("--upload", is_flag=True, help="Allow it.")
@click.option("--delete", "--remove", "remove", is_flag=True, help="Allow it.")
@click.option("--name", "output_path", help="That a download suggests.")
@click.option("--content-type", metavar="TYPE", help="Of the download, or of the upload.")
@click.option("--no-overwrite", is_flag=True, help="Let an upload replace nothing.")
@click.option("--max-size", callback=read_as(parse_size), metavar="SIZE", help="Of an upload: 10M.")
@click.option("--exact-size", callback=read_as(parse_size), metavar="SIZE", help="Of an upload.")
@click.option("--once", is_flag=True, help="For one use.")
@click.option("--inline", is_flag=True, help="Let a browser show the download.")
@click.option("--json", "as_json", is_flag=True, help="With methods, headers and end.")
def link(
    path: str, expire: float, download: bool, upload: bool, remove: bool, no_overwrite: bool,
    inline: bool, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Print a link by which whoever has it may do what it allows, until it ends."""

    async def action(session: Session) -> None:
        from ..models import as_operation
        from ._links import show_link

        letters = "d" * download + "u" * upload + "r" * remove
        await show_link(
            session, session.places.read(path), as_operation(letters or "d"), expire,
            as_json=as_json, overwrite=not no_overwrite,
            disposition="inline" if inline else "attachment", **asked,
        )  # fmt: skip

    run_session(action)


@aiostow.command()
@click.option("--check", is_flag=True, help="Read their settings and secrets, too.")
@click.option("--json", "as_json", is_flag=True, help="An object of JSON on each line.")
def profiles(check: bool, as_json: bool) -> None:
    """List the profiles; none of their settings."""

    async def action(session: Session) -> None:
        from ._listing import show_profiles

        await show_profiles(session, as_json=as_json, check=check)

    run_session(action)


def _alias(name: str, command: click.Command) -> None:
    """Let the ancestor's name of a command go on."""
    same = click.Command(
        name, context_settings=command.context_settings, callback=command.callback,
        params=command.params, help=command.help, hidden=True,
    )  # fmt: skip
    aiostow.add_command(same)


_alias("copy", cp)
_alias("delete", rm)
