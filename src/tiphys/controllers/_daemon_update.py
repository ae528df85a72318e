"""Which pods of a DaemonSet to make and delete next.

Source: pkg/controller/daemon/daemon_controller.go (podsShouldBeOnNode, syncNodes), update.go (rollingUpdate).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tiphys.api.kinds import POD
from tiphys.api.kinds.apps.daemonset import DaemonSet
from tiphys.api.kinds.core.pod.facts import is_available, is_ready
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.controllers._actions import Action, Create, Delete, Event, Report
from tiphys.controllers._daemon_pods import Fit, daemon_pod, daemon_template, is_updated
from tiphys.controllers._shares import share
from tiphys.controllers._spec import Tally

BURST = 250
"""Pods made, and pods deleted, in one plan, at most."""
FAILURE_CAP_S = 900.0


def by_age(pod: Pod) -> tuple[bool, str, str]:
    """Those on a node first, the oldest first."""
    return not pod.spec.node_name, pod.metadata.creation_timestamp or "", pod.metadata.name


def failure_delay_s(failures: int) -> float:
    """How long after its failure a pod is replaced: the first at once, then 1 s, doubled up to 15 minutes."""
    return 0.0 if failures <= 1 else float(min(2.0 ** min(failures - 2, 20), FAILURE_CAP_S))


class Update:
    """One look at all nodes. `actions` is what is to be done now; `wait_s` when time alone will change it."""

    def __init__(
        self,
        wanted: DaemonSet,
        by_node: Mapping[str, Sequence[Pod]],
        fits: Mapping[str, Fit],
        digests: frozenset[str],
        digest: str,
        failures: Mapping[str, Tally],
        now: datetime,
    ) -> None:
        """`fits`: all nodes that there are; `digests`: revisions equal to the template; `digest`: that of new pods."""
        self._wanted, self._by_node, self._fits, self._now = wanted, by_node, fits, now
        self._digests, self._digest, self._failures = digests, digest, failures
        self._needing: list[str] = []
        self._doomed: list[Pod] = []
        self._events: list[Event] = []
        self.wait_s: float | None = None
        strategy = wanted.spec.update_strategy
        rolling = strategy.rolling_update if strategy.type == "RollingUpdate" else None
        desired = sum(fit is Fit.RUN for fit in fits.values())
        self._desired = desired
        self._surges = rolling is not None and share(rolling.max_surge, 1, up=True) > 0
        self._max_surge = share(rolling.max_surge, desired, up=True) if rolling is not None else 0
        self._max_unavailable = share(rolling.max_unavailable, desired, up=True) if rolling is not None else 0
        if desired and not self._max_surge and not self._max_unavailable:
            self._max_unavailable = 1

    def actions(self) -> list[Action]:
        for node, fit in self._fits.items():
            self._look_at(node, fit)
        self._doomed += [
            pod
            for node, pods in self._by_node.items()
            if node not in self._fits
            for pod in pods
            if not pod.spec.node_name and pod.metadata.deletion_timestamp is None
        ]
        settled = not self._needing and not self._doomed
        if settled and self._wanted.spec.update_strategy.type == "RollingUpdate":
            self._roll_over() if self._max_surge else self._roll()
        return [*self._events, *self._creations(), *self._deletions()]

    # --- one pod per node

    def _look_at(self, node: str, fit: Fit) -> None:
        pods = self._by_node.get(node, ())
        staying = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if fit is Fit.LEAVE:
            self._doomed += staying
            return
        if fit is Fit.RUN and not pods:
            self._needing.append(node)
            return
        running = [pod for pod in staying if not self._ended(pod, node)]
        if not self._surges:
            self._doomed += running[1:]
        elif not running and fit is Fit.RUN:
            self._needing.append(node)
        elif len(running) > 1:
            self._thin_out(running)

    def _ended(self, pod: Pod, node: str) -> bool:
        """Whether the pod ended. It is replaced; after failures only when its time has come."""
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if pod.status.phase == "Succeeded":
            text = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            self._events.append(Event(self._wanted, "Normal", "SucceededDaemonPod", text))
        elif pod.status.phase == "Failed":
            if (left_s := self._failure_wait_s(pod)) > 0:
                self.wait_s = left_s if self.wait_s is None else min(self.wait_s, left_s)
                return True
            text = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            self._events.append(Event(self._wanted, "Warning", "FailedDaemonPod", text))
        else:
            return False
        self._doomed.append(pod)
        return True

    def _failure_wait_s(self, pod: Pod) -> float:
        tally = self._failures.get(pod.metadata.uid)
        if tally is None or tally.last is None:
            return 0.0
        return failure_delay_s(tally.times) - (self._now - tally.last).total_seconds()

    def _thin_out(self, running: Sequence[Pod]) -> None:
        """While surging a node has one old and one new pod, the old until the new can take over."""
        new = [pod for pod in running if self._is_new(pod)]
        old = [pod for pod in running if not self._is_new(pod)]
        self._doomed += [*new[1:], *old[1:]]
        if new and old and (not is_ready(old[0]) or self._available(new[0])):
            self._doomed.append(old[0])

    def _is_new(self, pod: Pod) -> bool:
        return is_updated(pod, self._wanted, self._digests)

    def _available(self, pod: Pod) -> bool:
        return is_available(pod, self._wanted.spec.min_ready_seconds, self._now)

    # --- from one template to the next

    def _pairs(self) -> list[tuple[str, Pod | None, Pod | None, bool]]:
        """Per node: its new pod, its old pod, and whether there is at most one of each."""
        nodes = {node for node, fit in self._fits.items() if fit is Fit.RUN} | set(self._by_node)
        pairs = []
        for node in sorted(nodes):
            pods = [pod for pod in self._by_node.get(node, ()) if pod.metadata.deletion_timestamp is None]
            new = [pod for pod in pods if self._is_new(pod)]
            old = [pod for pod in pods if not self._is_new(pod)]
            sound = len(new) <= 1 and len(old) <= 1
            pairs.append((node, new[0] if new else None, old[0] if old else None, sound))
        return pairs

    def _roll(self) -> None:
        """Deletes old pods: all that serve nobody, and as many more as may be unavailable."""
        unavailable = 0
        candidates = []
        for _node, new, old, sound in self._pairs():
            if not sound or (new is None) == (old is None):
                unavailable += 1
            elif new is not None:
                unavailable += not self._available(new)
            elif old is not None and not self._available(old):
                self._doomed.append(old)
                unavailable += 1
            elif old is not None:
                candidates.append(old)
        self._doomed += candidates[: max(0, self._max_unavailable - unavailable)]

    def _roll_over(self) -> None:
        """Makes new pods beside old ones, and deletes the old where the new serve."""
        surge = available = 0
        candidates: list[str] = []
        leaving: list[Pod] = []
        for node, new, old, sound in self._pairs():
            if not sound:
                surge += 1
                continue
            serving = old or new
            available += serving is not None and self._available(serving)
            if old is None:
                continue
            if new is not None:
                if self._available(new):
                    self._doomed.append(old)
                else:
                    surge += 1
            elif self._fits.get(node) is not Fit.RUN:
                (leaving if self._available(old) else self._doomed).append(old)
            elif not self._available(old):
                self._needing.append(node)
            else:
                candidates.append(node)
        self._needing += candidates[: max(0, self._max_surge - surge)]
        self._doomed += leaving[: max(0, available - self._desired)]

    # --- actions

    def _creations(self) -> list[Action]:
        if not self._needing:
            return []
        wanted = self._wanted
        template = daemon_template(wanted, self._digest)
        report = Report(wanted, "SuccessfulCreate", "Created pod: {name}", "FailedCreate", "Error creating: {error}")
        return [Create(POD, daemon_pod(wanted, template, node), report) for node in self._needing[:BURST]]

    def _deletions(self) -> list[Action]:
        report = Report(
            self._wanted, "SuccessfulDelete", "Deleted pod: {name}", "FailedDelete", "Error deleting: {error}"
        )
        return [
            Delete(POD, pod.metadata.name, pod.metadata.namespace, pod.metadata.uid, report=report)
            for pod in self._doomed[:BURST]
        ]
