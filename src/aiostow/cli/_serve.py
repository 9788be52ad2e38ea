"""What 'serve' serves: the page to share files, or the links of a storage alone."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from .._extras import missing_extra
from .._linking import honours_links, lead_links
from ..backends.local import LocalFSStorage
from ..errors import StorageIOError
from ..integrations.asgi import LinkApp
from ..linkstore import SQLiteLinkStore
from ..models import Support
from ..storage import Storage
from ._output import say
from ._run import Session

try:
    from ..share import kept_secret, share_app
    from ._server import is_loopback, listen, serve
except ModuleNotFoundError as _exc:
    if _exc.name != "uvicorn":
        raise
    raise missing_extra("'aiostow serve'", "serve", _exc) from _exc

_OWN_NAMES = ("localhost", "127.0.0.1", "[::1]", "[")  # some take the last for any of IPv6
SECRET = "AIOSTOW_SECRET"
"""The variable that may hold the secret of the links."""


@dataclass(frozen=True)
class Served:
    """What is served, and where what belongs to it is kept.

    Attributes:
        place: a storage, or a folder of one; None for a folder in `root`.
        root: the folder of what is kept.
        secret_file: with the secret of the links; None for another: see `_secret`.
        once_store: remembers the links that were used; None for a file in `root`.
        page: whether the page is served, too.
        names: by which the page may be asked for, beside this machine's own.
    """

    place: str | None
    root: Path
    secret_file: Path | None
    once_store: Path | None
    page: bool
    names: tuple[str, ...] = ()


async def serve_links(
    session: Session, served: Served, host: str, port: int, *, grace: float
) -> None:
    """Serve the page, or links alone, until a signal.

    Args:
        session: that the command runs in.
        served: what is served.
        host: of this machine.
        port: 0 for any that is free.
        grace: in seconds that transfers have to end, after the signal.
    """
    async with AsyncExitStack() as stack:
        served.root.mkdir(parents=True, exist_ok=True)
        storage = await _storage(session, served, stack)
        # A page on a bucket needs no endpoint: its links are the service's own.
        if not (served.page and storage.capabilities.links is Support.native):
            lead_links(storage, "/links/", _secret(storage, served))
        store = await _store(served.once_store or served.root / "links.db", stack)
        listening = stack.enter_context(listen(host, port))
        if not served.page:
            await serve(LinkApp(storage, store=store), listening, grace=grace)
            return
        page = share_app(storage, store)
        await stack.enter_async_context(page.router.lifespan_context(page))
        if is_loopback(listening):
            from starlette.middleware.trustedhost import TrustedHostMiddleware

            # A stranger's page may give its own name this address, and then read what is shared.
            app = TrustedHostMiddleware(page, [*_OWN_NAMES, *served.names], www_redirect=False)
            await serve(app, listening, grace=grace)
            return
        say(f"Warning: this page has no login, and is open to whoever reaches {host}.")
        await serve(page, listening, grace=grace)


async def _storage(session: Session, served: Served, stack: AsyncExitStack) -> Storage:
    if served.place is None:
        return await stack.enter_async_context(LocalFSStorage(served.root / "storage"))
    return session.places.as_tree(session.places.read(served.place))


def _secret(storage: Storage, served: Served) -> str | None:
    """Return the secret of the links; None for that of the profile."""
    if served.secret_file is not None:
        return served.secret_file.read_text().rstrip("\n")
    if secret := os.environ.get(SECRET):
        return secret
    return None if honours_links(storage) else kept_secret(served.root / "secret")


async def _store(path: Path, stack: AsyncExitStack) -> SQLiteLinkStore:
    store = await stack.enter_async_context(SQLiteLinkStore(path))
    try:
        await store.state("none")  # so that what is wrong is told now
    except sqlite3.Error as exc:
        raise StorageIOError(f"used links cannot be remembered in {str(path)!r}: {exc}") from exc
    return store
