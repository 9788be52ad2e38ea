"""The commands that look after storages and trees. What they do is imported when one runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._group import aiostow, read_as, run_session
from ._units import parse_seconds

if TYPE_CHECKING:
    from ._run import Session
    from ._trees import Trees

_COMPARES = click.Choice(["mtime", "etag", "checksum"])
_compare = click.option("--compare", type=_COMPARES, default="mtime", show_default=True,
                        help="By what a file is known to be the same.")  # fmt: skip
_include = click.option("--include", multiple=True, metavar="PATTERN", help="Of names to take.")
_exclude = click.option("--exclude", multiple=True, metavar="PATTERN", help="Of names to leave.")
_many = click.option("-j", "--jobs", type=click.IntRange(1, 64), default=64, show_default=True,
                     help="Files at once, at most.")  # fmt: skip
_as_json = click.option("--json", "as_json", is_flag=True, help="An object of JSON on each line.")
_quiet = click.option("-q", "--quiet", is_flag=True, help="Tell failures alone.")


def _over_trees(
    source: str,
    destination: str,
    asked: dict[str, Any],
    do: Callable[[Trees, Session], Awaitable[None]],
) -> None:
    async def action(session: Session) -> None:
        from ._trees import Trees

        here, there = (session.places.read(text, "file") for text in (source, destination))
        await do(Trees(here, there, **asked), session)

    run_session(action)


@aiostow.command()
@click.argument("source")
@click.argument("destination")
@click.option("--delete", is_flag=True, help="Remove what the source does not have.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@_compare
@_include
@_exclude
@click.option("--journal", metavar="FILE", help="Remembers what was copied; else the user's own.")
@click.option("--no-journal", is_flag=True, help="Remember nothing.")
@_many
@_as_json
@_quiet
def sync(
    source: str, destination: str, delete: bool, dry_run: bool, compare: Any,
    journal: str | None, no_journal: bool, **asked: Any,
) -> None:  # fmt: skip
    """Make the tree DESTINATION hold what the tree SOURCE holds.

    A run that was ended can be started again, and goes on. A PATTERN such as '*.log' is of names at
    any depth, and one with '/' begins at the top: 'cache/**'.
    """
    _over_trees(
        source, destination, asked,
        lambda trees, session: trees.sync(
            session, compare=compare, delete=delete, dry_run=dry_run, journal=journal,
            keep=not no_journal,
        ),
    )  # fmt: skip


@aiostow.command()
@click.argument("source")
@click.argument("destination")
@click.option("--compare", type=_COMPARES, default="checksum", show_default=True,
              help="By what files are told apart.")  # fmt: skip
@_include
@_exclude
@_many
@_as_json
@_quiet
def verify(source: str, destination: str, compare: Any, **asked: Any) -> None:
    """Compare two trees and change nothing; the exit status is 1 if they differ."""
    _over_trees(
        source, destination, asked,
        lambda trees, session: trees.verify(session, compare=compare),
    )  # fmt: skip


@aiostow.command()
@click.argument("places", nargs=-1, required=True)
@click.option("--older-than", callback=read_as(parse_seconds), default="1d", show_default=True,
              metavar="DURATION", help="Leave alone what is younger: 30m, 12h or 7d.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@_as_json
def sweep(places: tuple[str, ...], older_than: float, **asked: bool) -> None:
    """Remove what killed writers left behind in PLACES: it is invisible, but uses space.

    These are temporary files on disks and SFTP servers, and unfinished uploads on S3.
    """

    async def action(session: Session) -> None:
        from datetime import timedelta

        from ._sweep import sweep

        read = [session.places.read(each) for each in places]
        await sweep(session, read, timedelta(seconds=older_than), **asked)

    run_session(action)


@aiostow.command()
@click.argument("places", nargs=-1)
@click.option("--no-write", is_flag=True, help="Make no objects; what needs them is left out.")
@click.option("--origin", metavar="ORIGIN",
              help="Of a web page that uploads by links, as 'https://app.example'.")  # fmt: skip
@_as_json
def doctor(places: tuple[str, ...], no_write: bool, origin: str | None, as_json: bool) -> None:
    """Look PLACES over, or all profiles: what is wrong with them, and what to do.

    It writes, reads and removes an object of its own, whose name begins with 'aiostow-doctor-', and
    touches no other. The exit status is 1 if a check failed.
    """

    async def action(session: Session) -> None:
        from ._doctor import examine

        await examine(session, places, as_json=as_json, write=not no_write, origin=origin)

    run_session(action)


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(path_type=Path)


@aiostow.command()
@click.argument("place", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="To listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True,
              help="To listen on; 0 for any that is free.")  # fmt: skip
@click.option("--root", type=_PATH, default="share-data", show_default=True, metavar="FOLDER",
              help="Of what is kept: secret, used links; without PLACE, files.")  # fmt: skip
@click.option("--secret-file", type=_FILE, metavar="FILE",
              help="Of the links; else $AIOSTOW_SECRET, the profile's or FOLDER's.")  # fmt: skip
@click.option("--once-store", type=_PATH, metavar="FILE",
              help="Remembers which links were used; else one in FOLDER.")  # fmt: skip
@click.option("--allow-host", "names", multiple=True, metavar="NAME",
              help="By which a proxy on this machine asks for the page.")  # fmt: skip
@click.option("--no-page", is_flag=True, help="Serve links alone, which others make.")
@click.option("--grace", callback=read_as(parse_seconds), default="10s", show_default=True,
              metavar="DURATION", help="That transfers have to end, once stopped.")  # fmt: skip
def serve(
    place: str | None, host: str, port: int, grace: float, no_page: bool, **kept: Any
) -> None:
    """Serve a page to share files by links that end, over PLACE or a local folder.

    The page has no login, so by default only this machine reaches it. Ctrl-C, or SIGTERM, ends the
    server with exit status 0.
    """

    async def action(session: Session) -> None:
        from ._serve import Served, serve_links

        served = Served(place, page=not no_page, **kept)
        await serve_links(session, served, host, port, grace=grace)

    run_session(action)
