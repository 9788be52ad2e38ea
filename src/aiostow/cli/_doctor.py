"""Looking storages over: doctor."""

from __future__ import annotations

from collections.abc import Sequence

from ..doctor import Check, Diagnosis, check_origin, diagnose
from ..errors import (
    InvalidArgumentError,
    ProfileError,
    StorageError,
    UnknownProfileError,
)
from ._output import json_line, print_lines
from ._places import LocalPath, Object
from ._run import Session


async def examine(
    session: Session, texts: Sequence[str], *, as_json: bool, write: bool, origin: str | None
) -> None:
    """Print what is found at each place; what is wrong with one does not stop the others.

    Args:
        session: that the command runs in.
        texts: the places as they were written; none for all profiles.
        as_json: print an object of JSON for each place.
        write: whether objects may be made.
        origin: of the web page whose uploads are to be let in.

    Raises:
        InvalidArgumentError: `origin` is none.
        UnknownProfileError: there is none, or none of a name.
    """
    if origin is not None:
        check_origin(origin)
    texts = texts or [f"{name}:" for name in session.profiles] or [""]
    for number, text in enumerate(texts):
        diagnosis = await _examine(session, text, write, origin)
        session.failures += not diagnosis.healthy
        if as_json:
            print_lines([json_line({"place": text, **diagnosis.as_dict()})])
            continue
        verdict = "healthy" if diagnosis.healthy else "ill"
        print_lines([*([""] if number else []), f"{text} is {verdict}"])
        print_lines(f"  {line}" for line in str(diagnosis).splitlines())


async def _examine(session: Session, text: str, write: bool, origin: str | None) -> Diagnosis:
    try:
        place = _object(session, text)
    except UnknownProfileError:
        raise
    except (ProfileError, ImportError) as exc:
        found = exc.message if isinstance(exc, StorageError) else str(exc)
        advice = "correct the profile" if isinstance(exc, ProfileError) else "install the extra"
        return Diagnosis(text, (Check("configuration", "failed", found, advice),))
    return await diagnose(place.storage, prefix=place.key, origin=origin, write=write)


def _object(session: Session, text: str) -> Object:
    place = session.places.read(text)
    found = session.places.as_object(place)
    if isinstance(place, LocalPath) and not found.folder:
        raise InvalidArgumentError(f"{text!r} is no directory: name that of a storage")
    return found
