{{/* What would not work, or would not be safe, is refused with the value to set. Included once, by checks.yaml. */}}

{{- define "connects.checks" -}}
{{- $values := .Values -}}
{{- if not $values.kafka.bootstrapServers -}}
{{- fail "kafka.bootstrapServers is not set. Name the brokers as HOST:PORT, several separated by commas" -}}
{{- end -}}
{{- include "connects.checkSasl" $values -}}
{{- if and $values.kafka.caFile (not $values.certificates.existingSecret) -}}
{{- fail "kafka.caFile is set, though certificates.existingSecret is not. Name the Secret that has this file" -}}
{{- end -}}
{{- if and $values.existingSecret $values.databaseUrl -}}
{{- fail "databaseUrl and existingSecret are both set. Set one of them: the Secret has DATABASE_URL" -}}
{{- else if not (or $values.existingSecret $values.databaseUrl) -}}
{{- fail "existingSecret is not set. Name a Secret that has DATABASE_URL with the worker's role, or set databaseUrl" -}}
{{- end -}}
{{- include "connects.checkAddress" (list "databaseUrl" $values.databaseUrl) -}}
{{- include "connects.checkAddress" (list "migrate.ownerUrl" $values.migrate.ownerUrl) -}}
{{- include "connects.checkAddress" (list "console.databaseUrl" $values.console.databaseUrl) -}}
{{- if $values.migrate.enabled -}}
{{- if and $values.migrate.existingSecret $values.migrate.ownerUrl -}}
{{- fail "migrate.ownerUrl and migrate.existingSecret are both set. Set one of them: the Secret has CONNECTS_MIGRATE_URL" -}}
{{- else if not (or $values.migrate.existingSecret $values.migrate.ownerUrl) -}}
{{- fail "migrate.existingSecret is not set. Name a Secret that has CONNECTS_MIGRATE_URL with the schema owner's role, set migrate.ownerUrl, or set migrate.enabled=false and run `connects migrate` yourself" -}}
{{- end -}}
{{- end -}}
{{- if and $values.policy.content $values.policy.existingConfigMap -}}
{{- fail "policy.content and policy.existingConfigMap are both set. Set one of them" -}}
{{- end -}}
{{- if and $values.tracing.enabled (not $values.tracing.endpoint) -}}
{{- fail "tracing.enabled is true, and no collector is named. Set tracing.endpoint, such as http://collector:4318" -}}
{{- end -}}
{{- if $values.console.enabled -}}
{{- include "connects.checkConsole" $values -}}
{{- end -}}
{{- end -}}

{{/* Secrets are checked here and not by values.schema.json, whose messages would show them. */}}
{{- define "connects.checkAddress" -}}
{{- $address := last . -}}
{{- if and $address (not (regexMatch "^postgres(ql)?://" $address)) -}}
{{- fail (printf "%s should begin with postgresql://" (first .)) -}}
{{- end -}}
{{- end -}}

{{- define "connects.checkSasl" -}}
{{- $kafka := .kafka -}}
{{- if hasPrefix "SASL_" $kafka.securityProtocol -}}
{{- if not $kafka.saslMechanism -}}
{{- fail (printf "kafka.saslMechanism is not set, though kafka.securityProtocol is %s. Set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512" $kafka.securityProtocol) -}}
{{- else if not $kafka.username -}}
{{- fail (printf "kafka.username is not set, though kafka.securityProtocol is %s" $kafka.securityProtocol) -}}
{{- else if not (or $kafka.password .existingSecret) -}}
{{- fail (printf "kafka.password is not set, though kafka.securityProtocol is %s. Set it, or use existingSecret with KAFKA_SASL_PASSWORD" $kafka.securityProtocol) -}}
{{- else if and $kafka.password .existingSecret -}}
{{- fail "kafka.password and existingSecret are both set. Put KAFKA_SASL_PASSWORD into the Secret" -}}
{{- end -}}
{{- else if or $kafka.saslMechanism $kafka.username $kafka.password -}}
{{- fail (printf "kafka.securityProtocol is %s, though a mechanism, a user name or a password of SASL is set. SASL_SSL may be meant" $kafka.securityProtocol) -}}
{{- end -}}
{{- if and $kafka.caFile (not (hasSuffix "SSL" $kafka.securityProtocol)) -}}
{{- fail (printf "kafka.securityProtocol is %s, though kafka.caFile is set. SSL or SASL_SSL may be meant" $kafka.securityProtocol) -}}
{{- end -}}
{{- end -}}

{{- define "connects.checkConsole" -}}
{{- $console := .console -}}
{{- if not (or $console.existingSecret $console.token $console.trustHeader) -}}
{{- fail "console.enabled is true, and nothing would ask its readers who they are. Set console.existingSecret (a Secret that has CONNECTS_CONSOLE_TOKEN), console.token or console.trustHeader" -}}
{{- else if and $console.existingSecret (or $console.token $console.databaseUrl) -}}
{{- fail "console.existingSecret is set, and console.token or console.databaseUrl as well. Put CONNECTS_CONSOLE_TOKEN and DATABASE_URL into the Secret" -}}
{{- else if and $console.token (not (regexMatch "^[A-Za-z0-9_-]{16,200}$" $console.token)) -}}
{{- fail "console.token should be 16 to 200 characters of A-Z, a-z, 0-9, - and _, as `openssl rand -hex 24` prints them" -}}
{{- else if not (or $console.existingSecret $console.databaseUrl) -}}
{{- fail "console.databaseUrl is not set. Set it to the ledger's address with a role that only reads, or name a Secret that has DATABASE_URL in console.existingSecret" -}}
{{- else if and $console.trustHeader (not $console.guardedByOthers) (not (and .networkPolicy.enabled .networkPolicy.consoleFrom)) -}}
{{- fail "console.trustHeader is set, and every pod of the cluster could send this header. Set networkPolicy.enabled=true and name the proxy in networkPolicy.consoleFrom, or confirm console.guardedByOthers=true" -}}
{{- end -}}
{{- end -}}
