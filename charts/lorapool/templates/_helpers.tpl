{{- /* Names, labels and images that several templates share. Each takes the root context unless it says otherwise. */}}

{{- define "lorapool.fullname" -}}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains "lorapool" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}{{ printf "%s-lorapool" (.Release.Name | trunc 31 | trimSuffix "-") }}
{{- end }}
{{- end }}

{{- /* Labels that pick the pods of a component. Takes (dict "root" $ "component" "operator"). */}}
{{- define "lorapool.selector" -}}
app.kubernetes.io/name: lorapool-{{ .component }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{- define "lorapool.labels" -}}
{{ include "lorapool.selector" . }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/part-of: lorapool
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end }}

{{- /* Takes (dict "image" .Values.image.operator "tag" "default tag"). */}}
{{- define "lorapool.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}
{{- else }}{{ .image.repository }}:{{ .image.tag | default .tag }}
{{- end }}
{{- end }}

{{- define "lorapool.operatorKeySecret" -}}
{{ .Values.operator.existingKeySecret | default (printf "%s-operator-key" (include "lorapool.fullname" .)) }}
{{- end }}

{{- define "lorapool.gatewayKeySecret" -}}
{{ .Values.gateway.existingKeySecret | default (printf "%s-gateway-key" (include "lorapool.fullname" .)) }}
{{- end }}

{{- /*
Random bytes from which a component derives the key that its calls to pods are signed with. Made once; an upgrade finds
them and keeps them. So does an installation after an uninstall: pods that run on trust calls that are signed with them.
Takes (dict "root" $ "component" "operator" "existing" "name of a Secret of one's own").
*/}}
{{- define "lorapool.keySecret" -}}
{{- if not .existing }}
{{- $name := printf "%s-%s-key" (include "lorapool.fullname" .root) .component }}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace $name | default dict }}
apiVersion: v1
kind: Secret
metadata:
  name: {{ $name }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "lorapool.labels" . | nindent 4 }}
  annotations: {helm.sh/resource-policy: keep}
type: Opaque
data:
  key: {{ dig "data" "key" (randBytes 32) $found }}
{{- end }}
{{- end }}

{{- /* The `restricted` Pod Security Standard, and no writable root. */}}
{{- define "lorapool.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lorapool.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* What the gateway's port for requests speaks. */}}
{{- define "lorapool.gatewayScheme" -}}
{{ ternary "https" "http" (not (empty (.Values.gateway.tls).secretName)) }}
{{- end }}

{{- /* Where the images of a pod are pulled from. */}}
{{- define "lorapool.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* Where a pod runs. Takes (dict "root" $ "component" "operator" "values" .Values.operator). */}}
{{- define "lorapool.placement" -}}
{{- $component := . }}
{{- with .values }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints: {{- include "lorapool.spread" (dict "component" $component "constraints" .) | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Constraints that name no pods are about those of the component, of one version: a rollout keeps them spread. */}}
{{- define "lorapool.spread" -}}
{{- $selector := dict "matchLabels" (include "lorapool.selector" .component | fromYaml) }}
{{- $own := dict "labelSelector" $selector "matchLabelKeys" (list "pod-template-hash") }}
{{- range .constraints }}
{{- if hasKey . "labelSelector" }}
{{ toYaml (list .) }}
{{- else }}
{{ toYaml (list (merge (dict) . $own)) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Annotations of an object that `helm test` makes. Takes its weight. */}}
{{- define "lorapool.selfTestHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end }}

{{- /* Where the pool of `helm test` is made: where the operator may. */}}
{{- define "lorapool.selfTestNamespace" -}}
{{ .Values.watchNamespaces | default (list .Release.Namespace) | first }}
{{- end }}

{{- /* Who may reach the pods of pools, as the operator puts it into their NetworkPolicies: JSON. */}}
{{- define "lorapool.networkPeers" -}}
{{- $release := dict "matchLabels" (dict "kubernetes.io/metadata.name" .Release.Namespace) }}
{{- $peers := dict "metrics" .Values.networkPolicy.metricsFrom }}
{{- range $component := list "gateway" "operator" }}
{{- $labels := include "lorapool.selector" (dict "root" $ "component" $component) | fromYaml }}
{{- $peer := dict "namespaceSelector" $release "podSelector" (dict "matchLabels" $labels) }}
{{- $peers = set $peers (printf "%ss" $component) (list $peer) }}
{{- end }}
{{- toJson $peers }}
{{- end }}

{{- /*
A role and its binding, for the whole cluster; or both in each watched namespace, and then nothing is cluster-wide. These
bindings have names of their own: what a binding is to cannot be changed, and earlier charts bound ClusterRoles there.
Takes (dict "root" $ "component" "operator" "name" NAME "account" NAME "rules" YAML "annotations" DICT).
*/}}
{{- define "lorapool.access" -}}
{{- $ := .root }}
{{- $access := . }}
{{- range $namespace := ($.Values.watchNamespaces | default (list "")) }}
{{- $where := ternary "" "Cluster" (ne $namespace "") }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $where }}Role
metadata:
  name: {{ $access.name }}
  {{- include "lorapool.accessMetadata" (dict "access" $access "namespace" $namespace) | nindent 2 }}
rules: {{- $access.rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $where }}RoleBinding
metadata:
  name: {{ $access.name }}{{ ternary "-watched" "" (ne $namespace "") }}
  {{- include "lorapool.accessMetadata" (dict "access" $access "namespace" $namespace) | nindent 2 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: {{ $where }}Role, name: {{ $access.name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $access.account }}, namespace: {{ $.Release.Namespace }}}
{{- end }}
{{- end }}

{{- define "lorapool.accessMetadata" -}}
{{- with .namespace }}
namespace: {{ . }}
{{- end }}
labels: {{- include "lorapool.labels" (dict "root" .access.root "component" .access.component) | nindent 2 }}
{{- with .access.annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* OpenTelemetry's variables, where traces are wanted; the operator gives them on to the pods of pools. */}}
{{- define "lorapool.tracingEnv" -}}
{{- with .Values.tracing }}
{{- if .endpoint }}
- {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: OTEL_TRACES_SAMPLER, value: parentbased_traceidratio}
- {name: OTEL_TRACES_SAMPLER_ARG, value: {{ .sampleRatio | quote }}}
{{- end }}
{{- end }}
{{- end }}
