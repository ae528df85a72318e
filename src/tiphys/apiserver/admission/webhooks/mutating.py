"""MutatingAdmissionWebhook: webhooks are asked one after another, each seeing what those before it made of the object.

Where an object is changed after a webhook has seen it, and the webhook asks for that, it is asked once more.
Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/mutating.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api import codec, jsonpatch, patch
from tiphys.api.errors import ApiError, InternalError, shown
from tiphys.api.kind import Kind
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import StatusCause
from tiphys.apiserver.admission.attributes import configures_admission
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.webhooks.call import Caller, CallFailed, failure
from tiphys.apiserver.admission.webhooks.hooks import Hook, Hooks
from tiphys.apiserver.admission.webhooks.review import AdmissionResponse
from tiphys.apiserver.registry.interface import AdmissionRequest

_MUTATION = "mutation.webhook.admission.k8s.io/"


class _Seen:
    """What the webhooks of one request have done so far."""

    __slots__ = ("again", "invoked", "output")

    def __init__(self) -> None:
        self.output: Any = None
        """A copy of the object as the last webhook left it."""
        self.invoked: set[str] = set()
        """Webhooks that were asked and want to see later changes."""
        self.again: set[str] = set()
        """Those of them that are to be asked once more."""

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class MutatingWebhooks(Plugin):
    name = "MutatingAdmissionWebhook"

    def __init__(self, hooks: Hooks, caller: Caller, equivalents: Equivalents) -> None:
        self._hooks = hooks
        self._caller = caller
        self._equivalents = equivalents

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        return not configures_admission(kind)

    async def admit(self, request: AdmissionRequest) -> None:
        if not self._hooks.present:
            return
        candidates = self._hooks.candidates(request)
        if not candidates:
            return
        seen: _Seen = request.notes.setdefault(self.name, _Seen())
        if request.round and seen.output != request.obj:
            # Another plugin changed the object after the webhooks: all that care are asked again.
            seen.changed()
        for index, hook, used in candidates:
            if (request.round and hook.uid not in seen.again) or not self._hooks.selected(hook, request):
                continue
            obj = await self._equivalents.convert(request.obj, request.kind, used)
            old = await self._equivalents.convert(request.old, request.kind, used)
            if not self._caller.wanted(hook, request, used, obj, old):
                continue
            if await self._ask(index, hook, used, request, obj, old):
                seen.changed()
                request.again = request.again or not request.round
            if hook.reinvocable:
                seen.invoked.add(hook.uid)
        seen.output = request.obj if request.obj is None or isinstance(request.obj, dict) else copy_of(request.obj)

    async def _ask(
        self, index: int, hook: Hook, used: Kind[Any], request: AdmissionRequest, obj: Any, old: Any
    ) -> bool:
        """Whether the webhook changed the object."""
        where = f"round_{request.round}_index_{index}"
        answer = await self._caller.ask(hook, request, used, obj, old)
        if answer is None:
            request.annotations[f"failed-open.{_MUTATION}{where}"] = hook.name
        try:
            made = None if answer is None else self._patched(hook, used, obj, answer)
        except CallFailed as error:
            if not hook.ignores_failure:
                raise failure(hook.name, error) from None
            request.annotations[f"failed-open.{_MUTATION}{where}"] = hook.name
            made = None
        changed = made is not None and made != obj
        if changed:
            request.obj = await self._equivalents.convert(made, used, request.kind)
        note = {"configuration": hook.configuration, "webhook": hook.name, "mutated": changed}
        request.annotations[f"{_MUTATION}{where}"] = msgspec.json.encode(note).decode()
        return changed

    @staticmethod
    def _patched(hook: Hook, used: Kind[Any], obj: Any, answer: AdmissionResponse) -> Any:
        """The object with the answer's patch applied, defaults filled in; None where there is no patch."""
        if not answer.patch:
            return None
        try:
            operations = msgspec.json.decode(answer.patch)
            if not isinstance(operations, list):
                raise ValueError("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CallFailed(f"received undecodable patch in webhook response: {error}", 503) from None
        if not operations:
            return None
        if obj is None:
            text = f"admission webhook {shown(hook.name)} attempted to modify the object, which is not supported for "
            raise _internal(text + "this operation")
        if answer.patch_type != "JSONPatch":
            raise CallFailed(f"unsupported patch type {shown(answer.patch_type)}", 400)
        try:
            if isinstance(obj, dict):
                return jsonpatch.apply(obj, operations)
            if not isinstance(obj, used.schema):
                return codec.from_json(type(obj), jsonpatch.apply(codec.to_json(obj), operations))
            made, _ = patch.patched(used, codec.to_json(obj), "json", operations, "Ignore")
        except ApiError as error:
            raise _internal(str(error.__cause__ or error.message)) from None
        used.default(made)
        return made


def _internal(text: str) -> InternalError:
    return InternalError(f"Internal error occurred: {text}", causes=[StatusCause(message=text)])
