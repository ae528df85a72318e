"""Objects that are mostly equal hold their equal parts together.

The pods of one controller differ in name, node, addresses and times; their containers, volumes, tolerations and
conditions are the same. Decoded apart, each has its own; shared, a pod takes a third of the memory. That is allowed
because nobody changes objects that are kept (`copy_of` comes first).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import msgspec


class Models:
    """For each family the one that was seen last, whose parts the next takes over.

    Limits: `most` families; the one unused for longest goes.
    """

    def __init__(self, most: int = 512) -> None:
        self._most = most
        self._last: OrderedDict[Hashable, Any] = OrderedDict()

    def share(self, family: Hashable, obj: Any) -> None:
        """Replace parts of `obj` by equal ones of the last of its family. `obj` stays equal to what it was."""
        model = self._last.pop(family, None)
        if model is not None and model is not obj:
            _take_over(obj, model)
        self._last[family] = obj
        if len(self._last) > self._most:
            self._last.popitem(last=False)


def _take_over(obj: Any, model: Any) -> None:
    """For two structs of one type."""
    for name in obj.__struct_fields__:
        mine, theirs = getattr(obj, name), getattr(model, name)
        if mine is theirs or mine is None or theirs is None:
            continue
        if mine == theirs:
            setattr(obj, name, theirs)
        else:
            _descend(mine, theirs)


def _descend(mine: Any, theirs: Any) -> None:
    """What differs as a whole may be equal in parts."""
    if isinstance(mine, msgspec.Struct):
        if type(mine) is type(theirs):
            _take_over(mine, theirs)
    elif isinstance(mine, list) and len(mine) == len(theirs):
        for index, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            if one == other:
                mine[index] = other
            else:
                _descend(one, other)
