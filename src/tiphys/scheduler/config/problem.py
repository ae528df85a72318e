"""What is wrong with a configuration file, where: line, field, words."""

from __future__ import annotations

import re

import yaml

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class ConfigurationError(Exception):
    """The file cannot be used. The text names file, line and field."""


class Problem(ValueError):
    """Something about the value at `path` (`profiles[0].schedulerName`)."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: {text}" if path else text)
        self.path = path


def line_of(text: str, path: str) -> int:
    """The line (from 1) of the value at `path`, or of the nearest thing around it that is there."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for name, index in _STEP.findall(path):
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == name]
            if not found:
                return line
            line, node = found[0][0].start_mark.line + 1, found[0][1]
        elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line + 1
        else:
            return line
    return line
