{{/* What all pods have in common. */}}

{{- define "connects.podSecurity" -}}
automountServiceAccountToken: false
# Variables of the namespace's services would look like settings: CONNECTS_PORT of a service named `connects`.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "connects.container" -}}
image: {{ include "connects.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* The settings of every command: (dict "root" $ "secret" NAME "kafkaSecret" NAME) */}}
{{- define "connects.settings" -}}
{{- $values := .root.Values -}}
- name: KAFKA_BOOTSTRAP_SERVERS
  value: {{ $values.kafka.bootstrapServers | quote }}
- name: KAFKA_SECURITY_PROTOCOL
  value: {{ $values.kafka.securityProtocol }}
{{- if hasPrefix "SASL_" $values.kafka.securityProtocol }}
- name: KAFKA_SASL_MECHANISM
  value: {{ $values.kafka.saslMechanism }}
- name: KAFKA_SASL_USERNAME
  value: {{ $values.kafka.username | quote }}
- name: KAFKA_SASL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .kafkaSecret }}
      key: KAFKA_SASL_PASSWORD
{{- end }}
{{- with $values.kafka.caFile }}
- name: KAFKA_SSL_CAFILE
  value: /etc/connects/certificates/{{ . }}
{{- end }}
- name: DATABASE_URL
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: DATABASE_URL
{{- range $name, $value := $values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end -}}

{{- define "connects.tracingSettings" -}}
{{- if .Values.tracing.enabled -}}
- name: CONNECTS_TRACING
  value: "1"
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .Values.tracing.endpoint | quote }}
{{- range $name, $value := .Values.tracing.variables }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "connects.policySetting" -}}
{{- if include "connects.policyConfigMap" . -}}
- name: CONNECTS_POLICY
  value: /etc/connects/policy/connects.toml
{{- end }}
{{- end -}}

{{- define "connects.mounts" -}}
- name: temporary-files
  mountPath: /tmp
{{- if .Values.certificates.existingSecret }}
- name: certificates
  mountPath: /etc/connects/certificates
  readOnly: true
{{- end }}
{{- end -}}

{{- define "connects.volumes" -}}
- name: temporary-files
  emptyDir:
    sizeLimit: {{ .Values.temporaryFiles.sizeLimit }}
{{- with .Values.certificates.existingSecret }}
- name: certificates
  secret:
    secretName: {{ . }}
{{- end }}
{{- end -}}

{{- define "connects.policyMount" -}}
{{- if include "connects.policyConfigMap" . -}}
- name: policy
  mountPath: /etc/connects/policy
  readOnly: true
{{- end }}
{{- end -}}

{{- define "connects.policyVolume" -}}
{{- with include "connects.policyConfigMap" . -}}
- name: policy
  configMap:
    name: {{ . }}
{{- end }}
{{- end -}}

{{/* The probes of a component whose port is named `http`. A start may take two minutes: it waits for PostgreSQL. */}}
{{- define "connects.probes" -}}
startupProbe:
  httpGet:
    path: /health/live
    port: http
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 40
livenessProbe:
  httpGet:
    path: /health/live
    port: http
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet:
    path: /health/ready
    port: http
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
{{- end -}}

{{/* Where a component's pods may run: its values. */}}
{{- define "connects.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Another hash whenever what the chart itself mounts changes, so that pods are exchanged. */}}
{{- define "connects.checksum" -}}
{{- dict "database" .Values.databaseUrl "password" .Values.kafka.password "policy" .Values.policy.content | toJson | sha256sum -}}
{{- end -}}
