"""The mutations of one policy, compiled. Imported when the first policy is in force: CEL is large."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.api import codec
from tiphys.api.cel.admission import Evaluation
from tiphys.api.cel.errors import REQUEST_BUDGET, CelError, EvaluationError
from tiphys.api.cel.interface import Budget
from tiphys.api.cel.patch_types import JSON_PATCH_TYPE, object_type
from tiphys.api.cel.types import list_of
from tiphys.api.errors import ApiError, InternalError
from tiphys.api.kind import Kind
from tiphys.apiserver.admission.policy import patches
from tiphys.apiserver.admission.policy.decisions import PolicyFailed
from tiphys.apiserver.admission.policy.expressions import Conditions, Program, attempted, composed


class CompiledMutations:
    """The programs of one policy."""

    def __init__(self, policy: Any) -> None:
        spec = policy.spec
        composition = composed(spec)
        self._variables = composition.programs
        self.conditions = Conditions(composition, spec.match_conditions)
        self._mutations: list[tuple[Program, patches.Change]] = []
        for mutation in spec.mutations:
            is_patch = mutation.patch_type == "JSONPatch"
            stated = mutation.json_patch if is_patch else mutation.apply_configuration
            text = stated.expression.strip() if stated is not None else ""
            result = list_of(JSON_PATCH_TYPE) if is_patch else object_type()
            program = attempted(composition, text, result, patches=True)
            self._mutations.append((program, patches.patched if is_patch else patches.applied))

    def __len__(self) -> int:
        return len(self._mutations)

    def mutated(self, index: int, obj: Any, used: Kind[Any], bindings: Mapping[str, Any]) -> Any:
        """A new object, with defaults. Raises PolicyFailed, InternalError."""
        program, change = self._mutations[index]
        if isinstance(program, CelError):
            raise PolicyFailed(program.message)
        evaluation = Evaluation({**bindings, "object": obj}, self._variables)
        try:
            made = change(evaluation.of(program, Budget(REQUEST_BUDGET)), obj, used)
        except EvaluationError as error:
            raise PolicyFailed(error.message) from None
        try:
            found = codec.from_json(type(obj), made)
        except ApiError as error:
            raise InternalError(f"Internal error occurred: {error.message}") from None
        if type(found) is used.schema:
            used.default(found)
        return found
