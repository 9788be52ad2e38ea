"""Removals over real servers."""

from __future__ import annotations

from ._answers import MISSING, OTHER_VERSION, done, said
from ._bodies import SMALL
from ._place import PAST, Place


def test_a_removal_is_done_however_often_it_is_asked_for(place: Place) -> None:
    place.store(SMALL)
    link = place.link("dr")
    assert place.ask("DELETE", link) == done()
    assert place.ask("DELETE", link) == done()
    assert place.ask("GET", link) == said(404, MISSING)
    assert place.ask("HEAD", link) == said(404, MISSING).to_head


def test_a_removal_on_the_condition_of_a_version(place: Place) -> None:
    link = place.link("r")
    other = said(412, OTHER_VERSION)
    assert place.ask("DELETE", link, if_match="*") == other
    version = place.store(SMALL)
    assert place.ask("DELETE", link, if_match='"other"') == other
    assert place.ask("DELETE", link, if_none_match="*") == other
    assert place.ask("DELETE", link, if_unmodified_since=PAST) == other
    assert place.stored() == SMALL
    assert place.ask("DELETE", link, if_match=version.etag if version.strong else "*") == done()
    assert place.stored() is None
