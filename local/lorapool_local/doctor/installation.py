"""Rules of an installation: definitions, operator, Lease, rights, gateway. Pure."""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

from lorapool_local.doctor.diagnosis import Diagnosis, Severity, good, wrong
from lorapool_local.doctor.facts import ClusterFacts, Manifest, app, full_name

OPERATOR, GATEWAY = "lorapool-operator", "lorapool-gateway"
CRDS: Final = ("basemodelpools.lorapool.dev", "loraadapters.lorapool.dev")
_INSTALL: Final = "helm upgrade --install lorapool charts/lorapool -n lorapool-system --create-namespace"
# A Lease that nobody has renewed for longer is nobody's; the operator renews it every few seconds.
_STALE_S: Final = 60.0


def check_installation(facts: ClusterFacts) -> list[Diagnosis]:
    """In the order in which one thing needs the other."""
    return [finding for rule in _RULES for finding in rule(facts)]


def _readable(facts: ClusterFacts) -> Iterator[Diagnosis]:
    for what in facts.unreadable:
        yield Diagnosis(Severity.WARNING, "this user", f"may not read {what}", "ask as somebody who may: less is found")


def _definitions(facts: ClusterFacts) -> Iterator[Diagnosis]:
    for name in CRDS:
        if name not in facts.crds:
            continue
        found = facts.crds[name]
        if found is None:
            yield wrong(f"definition {name}", "is not installed", f"{_INSTALL} --set crds.install=true")
        elif not _is_established(found):
            yield wrong(f"definition {name}", "is not served", f"kubectl describe crd {name} says why")
        else:
            yield good(f"definition {name}", "is served")


def _operator(facts: ClusterFacts) -> Iterator[Diagnosis]:
    yield from _deployments(facts, OPERATOR, "operator", "nothing that is applied takes effect")


def _lease(facts: ClusterFacts) -> Iterator[Diagnosis]:
    if not any(app(d) == OPERATOR for d in facts.deployments):
        return
    if not facts.leases:
        yield wrong("lease", "there is none: no operator can lead", f"{_INSTALL}: the chart makes it")
    for lease in facts.leases:
        holder = lease["spec"].get("holderIdentity")
        renewed = lease["spec"].get("renewTime")
        about = f"lease {full_name(lease)}"
        if not holder or not renewed:
            yield wrong(about, "nobody leads", "kubectl logs of the operator: it says why it does not")
        elif (age_s := (facts.now - _time(renewed)).total_seconds()) > _STALE_S:
            yield wrong(
                about,
                f"{holder} has not renewed it for {age_s:.0f} s",
                "the operator hangs or does not reach the API server: look at its log, delete its pod",
            )
        else:
            yield good(about, f"{holder} leads")


def _rights(facts: ClusterFacts) -> Iterator[Diagnosis]:
    for right in facts.denied or ():
        yield wrong(
            "rights of the operator", f"it may not {right}", f"{_INSTALL}: the chart's roles are older, or gone"
        )
    if facts.denied == () and any(app(d) == OPERATOR for d in facts.deployments):
        yield good("rights of the operator", "it may do what it does")


def _gateway(facts: ClusterFacts) -> Iterator[Diagnosis]:
    yield from _deployments(facts, GATEWAY, "gateway", "no request is answered")


_RULES: Final[tuple[Callable[[ClusterFacts], Iterator[Diagnosis]], ...]] = (
    _readable,
    _definitions,
    _operator,
    _lease,
    _rights,
    _gateway,
)


def _deployments(facts: ClusterFacts, name: str, part: str, else_: str) -> Iterator[Diagnosis]:
    found = [d for d in facts.deployments if app(d) == name]
    if not found:
        yield wrong(part, f"there is none: {else_}", _INSTALL)
    for deployment in found:
        about = f"{part} {full_name(deployment)}"
        ready, wanted = deployment.get("status", {}).get("readyReplicas", 0), deployment["spec"].get("replicas", 1)
        if wanted == 0:
            yield wrong(
                about, f"is scaled to 0: {else_}", f"kubectl scale deployment {_named(deployment)} --replicas=1"
            )
        elif ready == 0:
            why = "; ".join(dict.fromkeys(filter(None, map(pod_trouble, _pods(facts, deployment)))))
            yield wrong(
                about, f"no pod is ready: {why or 'they start'}", f"kubectl describe pods {_selected(deployment)}"
            )
        elif ready < wanted:
            yield Diagnosis(
                Severity.WARNING, about, f"{ready} of {wanted} pods are ready", "wait, or look at the others"
            )
        else:
            yield good(about, f"{ready} of {wanted} pods are ready")


def _pods(facts: ClusterFacts, deployment: Manifest) -> list[Manifest]:
    namespace = deployment["metadata"]["namespace"]
    return [p for p in facts.pods if app(p) == app(deployment) and p["metadata"]["namespace"] == namespace]


def pod_trouble(pod: Manifest) -> str:
    """Why a pod does not run, in the cluster's words; empty where nothing is known against it."""
    status = pod.get("status", {})
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', '')}: {condition.get('message', '')}"[:300]
    for container in status.get("containerStatuses") or ():
        state = container.get("state", {})
        stuck = state.get("waiting") or state.get("terminated") or {}
        last = container.get("lastState", {}).get("terminated") or {}
        words = (last.get("message") or stuck.get("message") or "").strip().splitlines()
        if stuck.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{stuck['reason']}: {words[-1] if words else ''}"[:300]
    return ""


def _is_established(crd: Manifest) -> bool:
    conditions = crd.get("status", {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _named(manifest: Manifest) -> str:
    return f"{manifest['metadata']['name']} -n {manifest['metadata']['namespace']}"


def _selected(manifest: Manifest) -> str:
    return f"-n {manifest['metadata']['namespace']} -l app.kubernetes.io/name={app(manifest)}"


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
