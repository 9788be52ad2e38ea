"""Reading the XML of services: flat records within one document."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from xml.parsers import expat

_NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")


class Document:
    """The texts of a document's elements; those of a group become a record of their own.

    Args:
        groups: the names of elements that are records; what lies deeper in them is flattened.

    Attributes:
        root: name of the outermost element.
        fields: texts by name, outside records; the first of each name.
        records: name and texts of each record, in order.
        encoded: whether names in the records are marked ``Encoded="true"``, by their number.
    """

    def __init__(self, groups: AbstractSet[str] = frozenset()) -> None:
        self.root = ""
        self.fields: dict[str, str] = {}
        self.records: list[tuple[str, dict[str, str]]] = []
        self.encoded: set[int] = set()
        self._groups = groups
        self._record: dict[str, str] | None = None
        self._texts: list[str] = []
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._texts.append
        self._parser = parser

    @classmethod
    def parse(cls, data: bytes, groups: AbstractSet[str] = frozenset()) -> Document:
        """Return what a document holds.

        Raises:
            expat.ExpatError: it is no XML.
        """
        document = cls(groups)
        try:
            document._parser.Parse(data, True)
        except expat.ExpatError:
            # Ceph echoes what it was asked for as it is, and some of that no XML may hold.
            document = cls(groups)
            document._parser.Parse(_NO_XML.sub(b"?", data), True)
        return document

    @classmethod
    def parse_any(cls, data: bytes) -> Document:
        """Return what a document holds; of no XML, nothing."""
        try:
            return cls.parse(data)
        except expat.ExpatError:
            return cls()

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._texts.clear()
        if not self.root:
            self.root = name
        elif name in self._groups:
            self._record = {}
            self.records.append((name, self._record))
        elif attributes and attributes.get("Encoded") == "true":
            self.encoded.add(len(self.records) - 1)

    def _end(self, name: str) -> None:
        if name in self._groups:
            self._record = None
        else:
            fields = self.fields if self._record is None else self._record
            fields.setdefault(name, "".join(self._texts))
        self._texts.clear()
