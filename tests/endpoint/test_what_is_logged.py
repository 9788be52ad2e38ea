"""What servers print; the fixture `served` looks at what they do in all other tests."""

from __future__ import annotations

from ._bodies import FORM, SMALL, WHOLE
from ._place import METHODS, Place
from ._serving import discreet


def test_the_log_tells_no_token_and_nothing_that_went_wrong(place: Place) -> None:
    with discreet(place.served):
        for link in (place.link(), place.link("d", once=True), f"{place.link()}x"):
            for method in ("PUT", "GET", *METHODS):
                place.ask(method, link, SMALL if method == "PUT" else None)
        place.ask("POST", place.link(), WHOLE, content_type=FORM)
        place.ask("POST", place.link(), WHOLE[:-20], content_type=FORM)
        place.ask("PUT", place.link(key=place.beside("refuse-upload.bin")), SMALL)
