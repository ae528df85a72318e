"""The worked example in the documentation runs as it is printed."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

from tiphys.api.kinds import NODE, POD
from tiphys.controllers._registry import CONTROLLERS
from tiphys.controllers._spec import Key

from . import objects
from .memory import Bench

DOCS = Path(__file__).parents[3] / "docs"


async def test_the_worked_example_works() -> None:
    source = re.findall(r"```python\n(.*?)```", (DOCS / "adding-a-controller.md").read_text(), re.S)[0]
    module = types.ModuleType("worked_example")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(source, "adding-a-controller.md", "exec"), module.__dict__)
        b = Bench(module.SPEC)
        b.client.put(NODE, objects.node("n1"))
        b.client.put(POD, objects.pod("web", node="n1"))
        await b.settle(Key("", "n1"))
    finally:
        del sys.modules[module.__name__]
    assert b.client.all(NODE)[0].metadata.annotations == {"example.com/pods": "1"}


def test_every_controller_is_on_the_page() -> None:
    page = (DOCS / "controllers.md").read_text()
    for spec in CONTROLLERS:
        assert spec.name in page
        assert not spec.alias or f"({spec.alias})" in page
