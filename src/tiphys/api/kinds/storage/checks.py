"""Checks that several storage kinds share. Source: pkg/apis/storage/validation/validation.go."""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.api import names
from tiphys.api.errors import FieldError, invalid, required, too_long
from tiphys.api.meta.validation import each

MAX_PARAMETERS, MAX_PARAMETER_BYTES = 512, 256 * 1024


def validate_provisioner(path: str, name: str) -> Iterator[FieldError]:
    if not name:
        yield required(path)
    else:
        yield from each(path, name.lower(), names.qualified_name(name.lower()))


def validate_parameters(path: str, parameters: dict[str, str]) -> Iterator[FieldError]:
    if len(parameters) > MAX_PARAMETERS:
        yield too_long(path, MAX_PARAMETERS)
        return
    if "" in parameters:
        yield invalid(path, "", "field can not be empty.")
    if sum(len(key.encode()) + len(value.encode()) for key, value in parameters.items()) > MAX_PARAMETER_BYTES:
        yield too_long(path, MAX_PARAMETER_BYTES)
