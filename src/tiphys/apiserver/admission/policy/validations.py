"""The validations of one policy, compiled. Imported when the first policy is in force: CEL is large.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/validating/validator.go.
"""

from __future__ import annotations

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
            yield from self._failure(0, str(failed))
            return
        evaluation = Evaluation(bindings, self._variables)
        try:
            yield from self._validate(evaluation)
        except BudgetExceeded as spent:
            yield from self._failure(0, spent.message)
            return
        yield from self._annotate(Evaluation(bindings, self._variables), note)

    def _failure(self, index: int, message: str) -> Iterator[Denial]:
        if not self._ignores_failure:
            yield Denial(index, message)

    def _validate(self, evaluation: Evaluation) -> Iterator[Denial]:
        budget = Budget(REQUEST_BUDGET)
        results: list[bool | EvaluationError] = []
        for program in self._validations:
            try:
                results.append(evaluation.of(program, budget) is True)
            except BudgetExceeded:
                raise
            except EvaluationError as error:
                results.append(error)
        for index, result in enumerate(results):
            if isinstance(result, EvaluationError):
                yield from self._failure(index, result.message)
            elif not result:
                yield self._denial(index, evaluation, budget)

    def _denial(self, index: int, evaluation: Evaluation, budget: Budget) -> Denial:
        validation = self._spec.validations[index]
        message = self._message(index, evaluation, budget) or validation.message.strip()
        message = message or f"failed expression: {validation.expression.strip()}"
        return Denial(index, message, validation.reason or "Invalid")

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
