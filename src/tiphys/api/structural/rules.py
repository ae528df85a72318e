"""x-kubernetes-validations: the rules of a schema, evaluated on objects.

Rules stand at any place of a schema; `RuleTree` is the part of it that has rules. A rule that reads `oldSelf` runs only
where there is an old value (or where it says that the old value is optional). What did not change is let pass, except
by rules about changes. All rules of one object share a budget of cost.
Source: apiextensions-apiserver/pkg/apiserver/schema/cel/{validation,compilation}.go.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from tiphys.api.cel import Budget, BudgetExceeded, CelError, CostExceeded, Environment, EvaluationError, types
from tiphys.api.cel.environment import CompiledProgram as Program
from tiphys.api.cel.errors import REQUEST_BUDGET
from tiphys.api.cel.schema import schema_type
from tiphys.api.cel.values import NONE, Optional
from tiphys.api.errors import FieldError, invalid, shown
from tiphys.api.structural.correlation import Correlation
from tiphys.api.structural.paths import BadPath, schema_at
from tiphys.api.structural.schema import Raw, Structural

_MAX_MESSAGE_BYTES = 5 * 1024
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"
_REASONS = {"FieldValueForbidden": "Forbidden", "FieldValueRequired": "Required value"}


class Rule:
    """One rule at one place. Compiling raises CelError, with upstream's words in `message`."""

    def __init__(self, raw: Raw, schema: Structural, environments: Environments) -> None:
        self.raw = raw
        self.expression: str = raw.get("rule") or ""
        self.optional_old = bool(raw.get("optionalOldSelf"))
        environment = environments.optional if self.optional_old else environments.plain
        self.program: Program = _compiled(
            environment, self.expression, types.BOOL, "cel expression must evaluate to a bool"
        )
        self.uses_old = "oldSelf" in self.program.variables
        self.message_program: Program | None = None
        self.message_error = ""
        told = raw.get("messageExpression")
        if told:
            try:
                wrong = "messageExpression must evaluate to a string"
                self.message_program = _compiled(environment, told, types.STRING, wrong)
            except CelError as error:
                self.message_error = error.message.replace(
                    "compilation failed", "messageExpression compilation failed", 1
                )
        self.field_path = ""
        if raw.get("fieldPath"):
            try:
                self.field_path = schema_at(schema, raw["fieldPath"])[0]
            except BadPath:
                self.field_path = ""

    @property
    def words(self) -> str:
        """What errors call the rule: its message, else its expression."""
        return str(self.raw.get("message") or self.expression).strip()

    def detail(self) -> str:
        message = self.raw.get("message")
        return str(message).strip() if message else f"failed rule: {self.words}"


def _compiled(environment: Environment, expression: str, wanted: types.Type, wrong: str) -> Program:
    program = environment.compile(expression)
    if program.result_type != wanted:
        raise CelError(wrong)
    return program


class Environments:
    """What rules at one place may read: `self`, and `oldSelf` as it is or as an optional."""

    def __init__(self, raw: Raw, *, embedded: bool) -> None:
        """Raises CelError where values of the schema cannot be seen by expressions."""
        own = schema_type(raw, embedded, "self")
        if own is None:
            raise CelError("failed to convert to declType for CEL validation rules")
        self.plain = Environment({"self": own, "oldSelf": own})
        self._own = own
        self._optional: Environment | None = None

    @property
    def optional(self) -> Environment:
        if self._optional is None:
            self._optional = Environment({"self": self._own, "oldSelf": types.optional_of(self._own)})
        return self._optional


class _Stop(Exception):
    """No further rules are run."""


class _Run:
    """One evaluation of all rules."""

    def __init__(self) -> None:
        self.budget = Budget(REQUEST_BUDGET)
        self.errors: list[FieldError] = []


class RuleTree:
    """The rules at one place of a schema and below it."""

    def __init__(self, schema: Structural, properties: dict[str, RuleTree], items: RuleTree | None,
                 additional: RuleTree | None) -> None:  # fmt: skip
        self._schema = schema
        self._properties, self._items, self._additional = properties, items, additional
        self._rules: list[Rule | str] | None = None

    @classmethod
    def of(cls, schema: Structural) -> RuleTree | None:
        """None where there are no rules."""
        properties = {name: tree for name, child in schema.properties.items() if (tree := cls.of(child)) is not None}
        items = cls.of(schema.items) if schema.items is not None else None
        additional = cls.of(schema.additional_schema) if schema.additional_schema is not None else None
        if not (schema.rules or properties or items or additional):
            return None
        return cls(schema, properties, items, additional)

    def errors(self, value: Any, before: Any, correlation: Correlation | None, path: str = "") -> list[FieldError]:
        """Every broken rule. `before` is the old value, None on creation."""
        run = _Run()
        with contextlib.suppress(_Stop):
            self._run(run, value, before, path, correlation, None)
        return run.errors

    def _compiled(self) -> list[Rule | str]:
        """The rules, or why they do not compile."""
        if self._rules is None:
            self._rules = []
            environments: Environments | None = None
            for raw in self._schema.rules:
                try:
                    environments = environments or Environments(self._schema.raw, embedded=self._schema.embedded)
                    self._rules.append(Rule(raw, self._schema, environments))
                except CelError as error:
                    self._rules.append(error.message)
        return self._rules

    def _run(
        self, run: _Run, value: Any, before: Any, path: str, own: Correlation | None, parent: Correlation | None
    ) -> None:
        """`own`, `parent`: what corresponds to the value, and to the nearest value around it."""
        if value is None:
            return
        for rule in self._compiled() if self._schema.rules else ():
            if isinstance(rule, str):
                run.errors.append(self._invalid(path, f"rule compile error: {rule}"))
            else:
                self._judge(run, rule, value, before, path, own if own is not None else parent)
        if type(value) is list and self._items is not None:
            pairs = Correlation(value, before if type(before) is list else [], self._schema)
            for index, item in enumerate(value):
                known = pairs.index(index)
                child = own.index(index) if own is not None else None
                old = known.old if known is not None else None
                self._items._run(run, item, old, f"{path}[{index}]", child, own or parent)
        elif type(value) is dict:
            old = before if type(before) is dict else {}
            for name, item in value.items():
                tree = self._properties.get(name)
                where = f"{path}.{name}" if path else name
                if tree is None:
                    if self._additional is None or name in self._schema.properties:
                        continue
                    tree, where = self._additional, f"{path}[{name}]"
                child = own.key(name) if own is not None else None
                tree._run(run, item, old.get(name), where, child, own or parent)

    def _invalid(self, path: str, detail: str) -> FieldError:
        return invalid(path or "<nil>", self._schema.type, detail)

    def _judge(
        self, run: _Run, rule: Rule, value: Any, before: Any, path: str, correlation: Correlation | None
    ) -> None:
        if rule.uses_old and before is None and not rule.optional_old:
            return
        if run.budget.remaining <= 0:
            run.errors.append(self._invalid(path, _SPENT))
            raise _Stop
        bindings: dict[str, Any] = {"self": value}
        if rule.optional_old:
            bindings["oldSelf"] = NONE if before is None else Optional(before)
        elif before is not None:
            bindings["oldSelf"] = before
        try:
            if rule.program.evaluate(bindings, run.budget) is True:
                return
        except BudgetExceeded:
            run.errors.append(self._invalid(path, _SPENT))
            raise _Stop from None
        except CostExceeded as error:
            text = (
                f"'{error.message}': no further validation rules will be run due to call cost exceeds limit for rule: "
            )
            run.errors.append(self._invalid(path, text + rule.words))
            raise _Stop from None
        except EvaluationError as error:
            run.errors.append(self._invalid(path, _failure(error.message, rule)))
            return
        where = (f"{path}.{rule.field_path}" if path else rule.field_path) if rule.field_path else path
        try:
            detail = self._detail(run, rule, bindings)
        except CostExceeded as error:
            run.errors.append(self._invalid(where, error.message))
            raise _Stop from None
        if rule.uses_old or correlation is None or not correlation.unchanged():
            run.errors.append(self._broken(where or "<nil>", value, detail, rule.raw.get("reason")))

    def _detail(self, run: _Run, rule: Rule, bindings: dict[str, Any]) -> str:
        """What the rule says of itself; where its messageExpression fails, what it would say without."""
        if rule.message_program is None:
            return rule.detail()
        try:
            told = rule.message_program.evaluate(bindings, run.budget)
        except BudgetExceeded:
            raise CostExceeded(
                "messageExpression evaluation failed due to running out of cost budget, no further validation rules "
                "will be run"
            ) from None
        except CostExceeded:
            source = json.dumps(rule.raw.get("messageExpression"), ensure_ascii=False)
            raise CostExceeded(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: "
                + source
            ) from None
        except EvaluationError:
            return rule.detail()
        text = told.strip() if isinstance(told, str) else ""
        if not text or "\n" in text or len(text.encode()) > _MAX_MESSAGE_BYTES:
            return rule.detail()
        return text

    def _broken(self, path: str, value: Any, detail: str, reason: str | None) -> FieldError:
        told = "" if self._schema.type in ("object", "array") else f" {shown(value)}:"
        if reason in _REASONS:
            return FieldError(reason, path, f"{_REASONS[reason]}: {detail}")
        if reason == "FieldValueDuplicate":
            return FieldError(reason, path, f"Duplicate value:{told}".rstrip(":"))
        return FieldError("FieldValueInvalid", path, f"Invalid value:{told} {detail}")


def _failure(message: str, rule: Rule) -> str:
    if message.startswith("no such overload"):
        return (
            f"'{message}': call arguments did not match a supported operator, function or macro signature for rule: "
            f"{rule.words}"
        )
    return f"{message} evaluating rule: {rule.words}"
