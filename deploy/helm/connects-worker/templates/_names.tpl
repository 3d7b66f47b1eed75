{{/* Names and labels. All names fit into 63 characters with the longest suffix. */}}

{{- define "connects.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "connects.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "connects.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "connects.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What never changes of a component, and so selects its pods: (dict "root" $ "component" "worker") */}}
{{- define "connects.selector" -}}
app.kubernetes.io/name: {{ include "connects.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "connects.labels" -}}
{{ include "connects.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: connects
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "connects.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "connects.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "connects.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The Secrets in which pods look: those that exist already, or those of this chart. */}}

{{- define "connects.secret" -}}
{{- default (include "connects.fullname" .) .Values.existingSecret -}}
{{- end -}}

{{- define "connects.preparingSecret" -}}
{{- default (printf "%s-prepare" (include "connects.fullname" .)) .Values.existingSecret -}}
{{- end -}}

{{- define "connects.consoleSecret" -}}
{{- default (printf "%s-console" (include "connects.fullname" .)) .Values.console.existingSecret -}}
{{- end -}}

{{- define "connects.policyConfigMap" -}}
{{- if .Values.policy.existingConfigMap -}}
{{- .Values.policy.existingConfigMap -}}
{{- else if .Values.policy.content -}}
{{- printf "%s-policy" (include "connects.fullname" .) -}}
{{- end -}}
{{- end -}}
