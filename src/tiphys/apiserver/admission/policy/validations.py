"""The validations of one policy, compiled. Imported when the first policy is in force: CEL is large.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiphys.api.cel.admission import Evaluation
from tiphys.api.cel.errors import REQUEST_BUDGET, BudgetExceeded, EvaluationError
from tiphys.api.cel.evaluate.shown import kind_name
from tiphys.api.cel.interface import Budget
from tiphys.api.cel.types import BOOL, NULL, STRING
from tiphys.apiserver.admission.policy.decisions import Denial, PolicyFailed
from tiphys.apiserver.admission.policy.expressions import Conditions, Program, attempted, composed

MESSAGE_BYTES = 5 * 1024
ANNOTATION_BYTES = 10 * 1024


class CompiledPolicy:
    """The programs of one policy."""

    def __init__(self, policy: Any) -> None:
        spec = policy.spec
        self._spec = spec
        self._ignores_failure = spec.failure_policy == "Ignore"
        composition = composed(spec)
        self._variables = composition.programs
        self._conditions = Conditions(composition, spec.match_conditions)
        self._validations = [attempted(composition, each.expression, BOOL) for each in spec.validations]
        self._messages: list[Program | None] = [
            attempted(composition, each.message_expression, STRING, authorizer=False)
            if each.message_expression
            else None
            for each in spec.validations
        ]
        self._annotations = [
            attempted(composition, each.value_expression.strip(), STRING, NULL) for each in spec.audit_annotations
        ]

    def validate(self, bindings: Mapping[str, Any], note: Callable[[str, str], None]) -> Iterator[Denial]:
        """What is wrong with a request. `note(key, value)` takes audit annotations."""
        try:
            if not self._conditions.hold(bindings):
                return
        except PolicyFailed as failed:
            yield self._failure(0, str(failed))
            return
        evaluation = Evaluation(bindings, self._variables)
        try:
            yield from self._validate(evaluation)
        except BudgetExceeded as spent:
            yield self._failure(0, spent.message)
            return
        yield from self._annotate(Evaluation(bindings, self._variables), note)

    def _failure(self, index: int, message: str, seconds: float = 0.0) -> Denial:
        return Denial(index, message, ignored=self._ignores_failure, seconds=seconds)

    def _validate(self, evaluation: Evaluation) -> Iterator[Denial]:
        budget = Budget(REQUEST_BUDGET)
        results: list[tuple[bool | EvaluationError, float]] = []
        for program in self._validations:
            started = time.monotonic()
            result: bool | EvaluationError
            try:
                result = evaluation.of(program, budget) is True
            except BudgetExceeded:
                raise
            except EvaluationError as error:
                result = error
            results.append((result, time.monotonic() - started))
        for index, (result, seconds) in enumerate(results):
            if isinstance(result, EvaluationError):
                yield self._failure(index, result.message, seconds)
            elif not result:
                yield self._denial(index, seconds, evaluation, budget)

    def _denial(self, index: int, seconds: float, evaluation: Evaluation, budget: Budget) -> Denial:
        validation = self._spec.validations[index]
        message = self._message(index, evaluation, budget) or validation.message.strip()
        message = message or f"failed expression: {validation.expression.strip()}"
        return Denial(index, message, validation.reason or "Invalid", seconds=seconds)

    def _message(self, index: int, evaluation: Evaluation, budget: Budget) -> str:
        """What the message expression says; empty where it fails, is long, or has several lines."""
        program = self._messages[index]
        if program is None:
            return ""
        try:
            found = evaluation.of(program, budget)
        except EvaluationError:
            return ""
        text = found.strip() if isinstance(found, str) else ""
        return "" if len(text.encode()) > MESSAGE_BYTES or "\n" in text else text

    def _annotate(self, evaluation: Evaluation, note: Callable[[str, str], None]) -> Iterator[Denial]:
        budget = Budget(REQUEST_BUDGET)
        for annotation, program in zip(self._spec.audit_annotations, self._annotations, strict=True):
            try:
                found = evaluation.of(program, budget)
            except EvaluationError as error:
                if not self._ignores_failure:
                    yield Denial(0, error.message, enforced=True)
                continue
            if isinstance(found, str):
                if found.strip():
                    note(annotation.key, found.strip().encode()[:ANNOTATION_BYTES].decode(errors="ignore"))
            elif found is not None:
                text = f"valueExpression '{annotation.value_expression}' resulted in unsupported return type: "
                text += f"{kind_name(found)}. Return type must be either string or null."
                yield Denial(0, text, enforced=True)
