"""Reading the XML of services: flat records within one document."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from xml.parsers import expat

_NO_XML = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]|\xef\xbf[\xbe\xbf]")


class Document:
    """The texts of a document's elements; those of a group become a record of their own.

    Attributes:
        root: name of the outermost element.
        fields: texts by name, outside records; the first of each name.
        records: name and texts of each record, in order; what lies deeper in them is flattened.
        encoded: the numbers of records with an element that is marked ``Encoded="true"``.
    """

    def __init__(self) -> None:
        self.root = ""
        self.fields: dict[str, str] = {}
        self.records: list[tuple[str, dict[str, str]]] = []
        self.encoded: set[int] = set()

    @classmethod
    def parse(cls, data: bytes, groups: AbstractSet[str] = frozenset()) -> Document:
        """Return what a document holds.

        Args:
            data: the document.
            groups: the names of elements that are records.

        Raises:
            expat.ExpatError: it is no XML.
        """
        document = cls()
        try:
            document._read(data, groups)
        except expat.ExpatError:
            # Ceph echoes what it was asked for as it is, and some of that no XML may hold.
            document = cls()
            document._read(_NO_XML.sub(b"?", data), groups)
        return document

    @classmethod
    def parse_any(cls, data: bytes) -> Document:
        """Return what a document holds; of no XML, nothing."""
        try:
            return cls.parse(data)
        except expat.ExpatError:
            return cls()

    def _read(self, data: bytes, groups: AbstractSet[str]) -> None:
        # Closures, and one buffered text an element: a page has a hundred thousand elements.
        texts: list[str] = []
        fields, records = self.fields, self.records
        target = fields

        def start(name: str, attributes: dict[str, str]) -> None:
            nonlocal target
            if texts:
                texts.clear()
            if name in groups and self.root:
                target = {}
                records.append((name, target))
            elif attributes and attributes.get("Encoded") == "true":
                self.encoded.add(len(records) - 1)
            if not self.root:
                self.root = name

        def end(name: str) -> None:
            nonlocal target
            if name in groups:
                target = fields
            elif name not in target:
                target[name] = "".join(texts)
            if texts:
                texts.clear()

        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = start
        parser.EndElementHandler = end
        parser.CharacterDataHandler = texts.append
        parser.Parse(data, True)
