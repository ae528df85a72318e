"""Changes that are alike: what became of the managers once, becomes of them again.

Objects of one template are made and changed in the same way. They differ in their own names, in UIDs, addresses and
times; with these numbered in the order in which they stand, the texts of such changes are equal, and what was equal
within one still is. So is the answer, unless it names one of them: then it is not kept. But for a pod's only address
and an object's only owner, by which items of lists are known (`status.podIPs`, `metadata.ownerReferences`): they are
put in their places again.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tiphys.api.meta.resource import Resource
from tiphys.api.meta.schema import FieldsV1, Proto, json_hook
from tiphys.api.meta.shape import ListOf, MapOf, Shape, StructOf, shape_of
from tiphys.api.meta.types import ObjectMeta

_ANSWERS_MAX = 512
_QUESTION_MAX_BYTES = 16 << 10

_CHANGING: Final = re.compile(
    rb'(\\?")('
    rb"\d{4}-\d\d-\d\dT[0-9:.]+Z"
    rb"|\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"
    rb"|[0-9a-f]{0,4}:[0-9a-f:.]+"
    rb"|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    rb')(\\?")'
)
"""Times, addresses and UIDs in JSON, also in JSON that is a string there."""
_TEXT_VALUE: Final = re.compile(rb':"(?:[^"\\]|\\.)+"')
_MARK, _OWN_UID, _OWN_NAME = b"\x01%d", b"\x02", b"\x03"
"""They begin with bytes that JSON never holds."""
_NUMBERED = "\x01"
_ITEM_HEADS = ('"k:{\\"ip\\":', '"k:{\\"uid\\":')
_QUOTED = '\\"%s\\"'


class Question:
    """The text of a change, the same for all that are alike."""

    __slots__ = ("_values", "text")

    def __init__(self, text: bytes, meta: ObjectMeta) -> None:
        """`text`: JSON of all that the answer depends on. `meta`: of the object."""
        values: dict[bytes, bytes] = {}

        def numbered(match: re.Match[bytes]) -> bytes:
            quote, value, end = match.groups()
            return quote + values.setdefault(value, _MARK % len(values)) + end

        text = _CHANGING.sub(numbered, text)
        for value, quoted, mark in ((meta.uid, b"%b", _OWN_UID), (meta.name, b'"%b"', _OWN_NAME)):
            if value and value.encode() not in values:
                values[value.encode()] = mark
                text = text.replace(quoted % value.encode(), quoted % mark)
        self._values = {value.decode(): mark.decode() for value, mark in values.items()}
        self.text = text

    def general(self, fields: FieldsV1) -> FieldsV1 | None:
        """A set of the answer as it is for all that are alike; None where it is this object's alone."""
        text = str(fields)
        for value, mark in self._values.items():
            quoted = _QUOTED % value
            for head in _ITEM_HEADS if mark.startswith(_NUMBERED) else ():
                if text.count(head) == 1:  # with more of them, their order would follow from what they are
                    text = text.replace(head + quoted, head + _QUOTED % mark)
            if quoted in text or f'"f:{value}"' in text:
                return None
        return fields if text == fields else FieldsV1(text)

    def own(self, fields: FieldsV1) -> FieldsV1:
        """The reverse of `general`."""
        if _NUMBERED not in fields:
            return fields
        text = str(fields)
        for value, mark in self._values.items():
            text = text.replace(_QUOTED % mark, _QUOTED % value)
        return FieldsV1(text)


class Answers:
    """What was answered, by form and question. Bounded: all are forgotten when there are too many."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, bytes], Any] = {}

    def get(self, form: object, question: Question) -> Any:
        return self._known.get((form, question.text))

    def keep(self, form: object, question: Question, answer: Any) -> None:
        """Unless the question is long."""
        if len(question.text) <= _QUESTION_MAX_BYTES:
            if len(self._known) >= _ANSWERS_MAX:
                self._known.clear()
            self._known[form, question.text] = answer


_encode = msgspec.json.Encoder(enc_hook=json_hook).encode
_NO_META = ObjectMeta()


def outline(bare: Resource) -> bytes:
    """Of a new object, what decides which fields it sets: where no list's items are known by their values, texts alone
    do not matter."""
    if _has_known_items(type(bare)):
        return _encode(bare)
    rest = _TEXT_VALUE.sub(b':"?"', _encode(replace(bare, metadata=_NO_META)))
    return _encode(bare.metadata) + rest


@cache
def _has_known_items(schema: type[Resource]) -> bool:
    """Whether lists of such an object, but for those of its metadata, have items by key or by value."""
    fields = shape_of(schema).fields
    return any(_knows(field.shape, field.rules, ()) for name, field in fields.items() if name != "metadata")


def _knows(shape: Shape, rules: Proto, above: tuple[Shape, ...]) -> bool:
    if rules.atomic or shape in above:
        return False
    if isinstance(shape, StructOf):
        return any(_knows(field.shape, field.rules, (*above, shape)) for field in shape.fields.values())
    if isinstance(shape, MapOf):
        return _knows(shape.value, Proto(()), above)
    return isinstance(shape, ListOf) and rules.list_type in ("map", "set")
