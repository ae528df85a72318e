"""Plugins from elsewhere: Python packages that offer an entry point in the group `tiphys.scheduler.plugins`.

The entry point's name is the plugin's; it loads a function from the profile's arguments (a dict) to a `PluginSpec`.
What it runs is watched: a call that raises, or takes longer than the limit, fails the decision with the plugin's name,
and the pod is tried again. Python cannot stop a thread, so a call that hangs keeps its thread; after `HANGING_MAX` such
calls the plugin is refused until one of them returns.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import metadata
from typing import Any

from tiphys.scheduler.plugin import PluginError, PluginSpec
from tiphys.scheduler.thirdparty_names import GROUP

HANGING_MAX = 3
_WATCHED = (
    "applies",
    "refuse",
    "filter",
    "filter_row",
    "filter_among",
    "explain",
    "resolvable",
    "narrow",
    "scores",
    "score",
    "score_row",
    "score_among",
)

Build = Callable[[Any], PluginSpec]


def builders(timeout_s: float) -> dict[str, Build]:
    """What makes each of them, watched. A package that cannot be loaded raises PluginError when it is used."""
    return {point.name: _builder(point, timeout_s) for point in metadata.entry_points(group=GROUP)}


def _builder(point: metadata.EntryPoint, timeout_s: float) -> Build:
    def build(args: Any) -> PluginSpec:
        try:
            spec = point.load()(args or {})
        except Exception as error:
            raise PluginError(point.name, f"cannot be loaded: {type(error).__name__}: {error}") from error
        if not isinstance(spec, PluginSpec) or spec.name != point.name:
            raise PluginError(point.name, f"{point.value} does not make a PluginSpec of this name")
        return watched(spec, timeout_s)

    return build


def watched(spec: PluginSpec, timeout_s: float) -> PluginSpec:
    """`spec` with every function limited to `timeout_s` seconds."""
    watch = _Watch(spec.name, timeout_s)
    own = {field.name: field.default for field in fields(PluginSpec)}
    changed: dict[str, Any] = {
        name: watch.limited(getattr(spec, name))
        for name in _WATCHED
        if getattr(spec, name) is not None and getattr(spec, name) is not own[name]
    }
    return replace(spec, **changed)


class _Watch:
    """Runs one plugin's calls in a thread of its own; a new thread when one hangs."""

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name, self._timeout_s = name, timeout_s
        self._hanging: list[concurrent.futures.Future[Any]] = []

    def limited(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            return self._call(function, args)

        return call

    def _call(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        self._hanging = [future for future in self._hanging if not future.done()]
        if len(self._hanging) >= HANGING_MAX:
            raise PluginError(self._name, f"{len(self._hanging)} earlier calls still hang")
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:  # noqa: BLE001 - it is handed to the caller, whatever it is
                future.set_exception(error)

        threading.Thread(target=run, name=f"plugin {self._name}", daemon=True).start()
        try:
            return future.result(self._timeout_s)
        except concurrent.futures.TimeoutError:
            if not future.done():
                self._hanging.append(future)
                raise PluginError(self._name, f"no answer within {self._timeout_s:g} s") from None
            raise
