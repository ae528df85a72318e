"""Asking one webhook: the call, its refusals and failures, and what of them the client hears.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go, .../errors.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from tiphys.api.errors import ApiError, BadRequest, InternalError, shown
from tiphys.api.kind import Kind
from tiphys.api.meta.types import Status, StatusCause
from tiphys.apiserver.admission.webhooks.hooks import Hook
from tiphys.apiserver.admission.webhooks.measures import WebhookMeasures
from tiphys.apiserver.admission.webhooks.review import (
    AdmissionResponse,
    InvalidAnswer,
    answer,
    question,
    version_of,
)
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.apiserver.webhooks.client import WebhookClient
from tiphys.apiserver.webhooks.errors import WebhookFailed

log = logging.getLogger(__name__)

_HARMLESS = ("None", "NoneOnDryRun")


class Denied(ApiError):
    """A webhook said no, with a Status of its own choice."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self._status = status
        self.code = status.code  # type: ignore[misc] # of this refusal alone
        self.reason = status.reason  # type: ignore[misc]

    def status(self) -> Status:
        return self._status


def denial(name: str, stated: Status | None) -> Denied:
    """The Status that the client gets: never a success, and saying who refused."""
    status = stated or Status()
    lead = f"admission webhook {shown(name)} denied the request"
    if status.message:
        text = f"{lead}: {status.message}"
    elif status.reason:
        text = f"{lead}: {status.reason}"
    else:
        text = f"{lead} without explanation"
    status.kind, status.api_version, status.message = "Status", "v1", text
    status.code = status.code if 400 <= status.code <= 599 else 400
    if status.status in ("", "Success"):
        status.status = "Failure"
    return Denied(status)


class CallFailed(Exception):
    """The webhook could not be asked, or what it answered is of no use."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


def failure(name: str, error: CallFailed) -> InternalError:
    text = f"failed calling webhook {shown(name)}: {error}"
    return InternalError(f"Internal error occurred: {text}", causes=[StatusCause(message=text)])


class Caller:
    """Asks webhooks over one client. `type_` is `admit` or `validating`: what metrics call the step."""

    def __init__(self, client: WebhookClient, measures: WebhookMeasures, authorizer: Authorizer, type_: str) -> None:
        self._client = client
        self._authorizer = authorizer
        self._measures = measures
        self._type = type_

    async def ask(
        self, hook: Hook, request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any
    ) -> AdmissionResponse | None:
        """The webhook's answer, which allows the request; None where it failed and that is to be ignored.

        Raises Denied, BadRequest (dry run), InternalError.
        """
        started = time.monotonic()
        operation = request.operation
        try:
            response = await self._asked(hook, request, used, obj, old)
        except CallFailed as error:
            seconds = time.monotonic() - started
            self._measures.asked(
                hook.name, self._type, operation, seconds, error.code, rejected=not hook.ignores_failure
            )
            if hook.ignores_failure:
                log.warning("webhook %s failed and is passed over: %s", hook.name, error)
                self._measures.failed_open(hook.name, self._type)
                return None
            log.warning("webhook %s failed: %s", hook.name, error)
            self._measures.rejected(hook.name, self._type, operation, "calling_webhook_error", error.code)
            raise failure(hook.name, error) from None
        except ApiError:
            self._measures.rejected(hook.name, self._type, operation, "apiserver_internal_error", 0)
            raise
        seconds = time.monotonic() - started
        if response.allowed:
            self._measures.asked(hook.name, self._type, operation, seconds, 200, rejected=False)
            return response
        denied = denial(hook.name, response.status)
        self._measures.asked(hook.name, self._type, operation, seconds, denied.code, rejected=True)
        self._measures.rejected(hook.name, self._type, operation, "no_error", denied.code)
        raise denied

    async def _asked(
        self, hook: Hook, request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any
    ) -> AdmissionResponse:
        if request.dry_run:
            if hook.side_effects is None:
                raise CallFailed("Webhook SideEffects is nil", 400)
            if hook.side_effects not in _HARMLESS:
                raise BadRequest(f"admission webhook {shown(hook.name)} does not support dry run")
        version = version_of(hook.versions)
        if not version:
            known = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallFailed(f"could not create admission objects: {known}", 400)
        uid, body = question(request, used, obj, old, version)
        try:
            content = await self._client.post(hook.target, body, timeout_s=hook.timeout_s)
        except WebhookFailed as error:
            raise CallFailed(f"failed to call webhook: {error}", error.code) from None
        try:
            response = answer(content, uid, version, mutating=self._type == "admit")
        except InvalidAnswer as error:
            raise CallFailed(f"received invalid webhook response: {error}", 503) from None
        except BadRequest as error:
            raise CallFailed(f"failed to call webhook: {error}", 503) from None
        for key, value in response.audit_annotations.items():
            request.annotations[f"{hook.name}/{key}"] = value
        request.warnings += response.warnings
        return response

    def wanted(self, hook: Hook, request: AdmissionRequest, used: Kind[Any], obj: Any, old: Any) -> bool:
        """Whether the webhook's match conditions hold. Raises Forbidden."""
        if not hook.conditions or hook.conditions.hold(request, used, obj, old, self._authorizer):
            return True
        self._measures.excluded(hook.name, self._type, request.operation)
        return False
