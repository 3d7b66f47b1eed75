{{/* What runs before the pods of a release exist, so that nothing of the release is there yet but Secrets of before. */}}

{{- define "connects.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* A Job of one command: (dict "root" $ "name" "migrate" "weight" "0" "args" (list ...) "env" TEXT) */}}
{{- define "connects.job" -}}
{{- $values := .root.Values -}}
{{- $secret := include "connects.preparingSecret" .root -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ include "connects.fullname" .root }}-{{ .name }}
  labels:
    {{- include "connects.labels" (dict "root" .root "component" .name) | nindent 4 }}
  annotations:
    {{- include "connects.hook" .weight | nindent 4 }}
spec:
  backoffLimit: 2
  activeDeadlineSeconds: {{ $values.jobs.activeDeadlineSeconds }}
  template:
    metadata:
      labels:
        {{- include "connects.labels" (dict "root" .root "component" .name) | nindent 8 }}
    spec:
      restartPolicy: Never
      # The release's own account does not exist yet; without a token any will do.
      serviceAccountName: default
      {{- include "connects.podSecurity" .root | nindent 6 }}
      {{- include "connects.placement" $values.worker | nindent 6 }}
      containers:
        - name: {{ .name }}
          {{- include "connects.container" .root | nindent 10 }}
          args:
            {{- toYaml .args | nindent 12 }}
          env:
            {{- include "connects.settings" (dict "root" .root "secret" $secret "kafkaSecret" $secret) | nindent 12 }}
            {{- with .env }}
            {{- . | nindent 12 }}
            {{- end }}
          resources:
            {{- toYaml $values.jobs.resources | nindent 12 }}
          volumeMounts:
            {{- include "connects.mounts" .root | nindent 12 }}
      volumes:
        {{- include "connects.volumes" .root | nindent 8 }}
{{- end -}}

{{- define "connects.ownerSetting" -}}
- name: CONNECTS_MIGRATE_URL
  valueFrom:
    secretKeyRef:
      name: {{ default (printf "%s-prepare" (include "connects.fullname" .)) .Values.migrate.existingSecret }}
      key: CONNECTS_MIGRATE_URL
{{- end -}}
