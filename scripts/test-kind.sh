#!/usr/bin/env bash
# The e2e tests and those of a real node on a kind cluster: both images built, loaded and installed by the chart, with the stub engine.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=e2e
cluster=lorapool-e2e
say() { printf '\033[2m[test-kind]\033[0m %s\n' "$*"; }
missing() { say "skipped: $*"; [ -z "${CI:-}" ] || exit 1; exit 0; }

# The client may be there without an engine, so the engine is asked.
docker info >/dev/null 2>&1 || missing "no Docker engine answers (docker info)"
command -v kind >/dev/null || missing "kind is not installed: https://kind.sigs.k8s.io"
command -v helm >/dev/null || missing "helm is not installed: https://helm.sh"
command -v kubectl >/dev/null || missing "kubectl is not installed: https://kubernetes.io/docs/tasks/tools"

work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
cleanup() {
  [ -n "${KEEP:-}" ] || kind delete cluster --name "$cluster" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

say "images (a few minutes the first time)"
docker build -f Dockerfile.operator -t "lorapool.test/lorapool-operator:$tag" .
docker build -f Dockerfile.runtime --target stub -t "lorapool.test/lorapool-runtime:$tag" .

say "kind cluster (about a minute)"
kind create cluster --name "$cluster" --wait 120s
kind load docker-image --name "$cluster" "lorapool.test/lorapool-operator:$tag" "lorapool.test/lorapool-runtime:$tag"

say "chart"
helm install lorapool charts/lorapool --namespace lorapool-system --create-namespace --wait --timeout 180s \
  --values tests/e2e/kind-values.yaml

# By the node's own address: a port-forward would end with the gateway pod that a test kills.
node=$(kubectl get nodes -o jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')
port=$(kubectl -n lorapool-system get service lorapool-gateway -o jsonpath='{.spec.ports[0].nodePort}')
LORAPOOL_E2E_KUBECONFIG=$KUBECONFIG LORAPOOL_E2E_GATEWAY=http://$node:$port pytest tests/e2e tests/node "$@"
