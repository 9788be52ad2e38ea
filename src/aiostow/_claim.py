"""The right to use a link: it was not revoked and, if it is for one use, nobody else has it."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ._answers import RefusedError, bad_token, broken, refused
from ._link_steps import Await, Steps
from .links import InternalLinkTokenData
from .linkstore import LinkState, LinkStore
from .storage import Storage

T = TypeVar("T")

_log = logging.getLogger("aiostow.endpoint")

_LEASE = 120.0
"""Seconds that a link is held for an upload. It is prolonged while bytes come."""


class Claim:
    """One request's claim to a link, which is nothing more than a look for a link of many uses.

    Args:
        store: remembers links; None where none is remembered.
        storage: where the store is asked.
        grant: of the link.
        clock: returns the seconds since the epoch.
    """

    def __init__(
        self,
        store: LinkStore | None,
        storage: Storage,
        grant: InternalLinkTokenData,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._storage = storage
        self._grant = grant
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._until = 0.0  # when a hold ends

    def check(self) -> Steps[None]:
        """Refuse a link that was revoked or used."""
        store = self._store
        if store is not None:
            self._refuse((yield from self._ask(lambda: store.state(self._grant.token_id))))
        elif self._grant.once:
            _log.error(
                "a link for one use is not served: give the endpoint a store, which is a "
                "MemoryLinkStore() for one process or a SQLiteLinkStore(path) for several"
            )
            raise RefusedError(broken("Links for one use are not served here."))

    def hold(self) -> Steps[None]:
        """Keep others from using the link for a while; again before half of that is over."""
        now = self._clock()
        if self._grant.once and now > self._until - _LEASE / 2:
            yield from self._take(now + _LEASE)

    def use_up(self) -> Steps[None]:
        """End a link for one use; refuse one that was used, or revoked, meanwhile."""
        if self._grant.once:
            yield from self._take(math.inf)

    def confirm(self) -> Steps[None]:
        """Use the link up after a long time, in which also a link of many uses may be revoked."""
        if self._grant.once:
            yield from self.use_up()
        else:
            yield from self.check()

    def give_back(self) -> Steps[None]:
        """Let others use the link: this request did not."""
        store = self._store
        if store is None or not self._grant.once or not self._until:
            return
        self._until = 0.0
        # Not cut off by a second cancellation, or nobody could use the link until the hold ends.
        finish = self._storage._shared.cleanups.finish
        token_id, holder = self._grant.token_id, self._holder
        try:
            yield Await(self._storage, lambda: finish(store.release(token_id, holder)))
        except Exception:  # noqa: BLE001  # a store's: the answer is another failure already
            _log.exception("the store of links failed: link %s stays taken", self._grant.token_id)

    def _take(self, until: float) -> Steps[None]:
        store, grant, holder = self._store, self._grant, self._holder
        assert store is not None, "`check` has refused what is for one use"
        expires = grant.expires.timestamp()
        before, self._until = self._until, until  # taken, for all that is known if this is cut off
        taken = yield from self._ask(
            lambda: store.take(grant.token_id, holder, until=until, expires=expires)
        )
        if not taken:
            self._until = before
            self._refuse((yield from self._ask(lambda: store.state(grant.token_id))))
            raise refused(409, "This link is being used just now.")

    def _refuse(self, state: LinkState) -> None:
        if state in (LinkState.revoked, LinkState.used):
            _log.info("link %s was refused: it is %s", self._grant.token_id, state.value)
        if state is LinkState.revoked:
            raise RefusedError(bad_token())
        if state is LinkState.used:
            raise refused(410, "This link was for one use, and was used.")

    def _ask(self, call: Callable[[], Awaitable[T]]) -> Steps[T]:
        """Have the store do something; where it fails, nothing is served."""
        try:
            return (yield Await(self._storage, call))  # type: ignore[no-any-return]  # what the call returns
        except Exception as exc:
            _log.exception("the store of links failed")
            raise RefusedError(broken("Links are not served now; try again later.")) from exc
