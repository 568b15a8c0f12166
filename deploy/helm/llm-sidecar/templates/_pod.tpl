{{/*
What every container of the sidecar has, in a gateway or beside an agent, and what another chart includes to get it:

    {{- $sidecar := dict "Values" .Values.sidecar "Chart" .Subcharts.sidecar.Chart }}
    spec:
      initContainers:
        {{- include "llm-sidecar.initContainer" $sidecar | nindent 8 }}

where `sidecar` is this chart's alias. Each takes what this chart's own templates have: its Values and its Chart.
*/}}

{{- define "llm-sidecar.labels" -}}
llm-sidecar/present: "true"
{{- end }}

{{- define "llm-sidecar.metadata" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "llm-sidecar.gateway" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/component: gateway
{{- end }}

{{- define "llm-sidecar.env" -}}
- {name: OPENAI_BASE_URL, value: "http://127.0.0.1:12000/v1"}
- {name: ANTHROPIC_BASE_URL, value: "http://127.0.0.1:12000"}
{{- end }}

{{- define "llm-sidecar.container" -}}
name: llm-sidecar
image: {{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [up, /etc/sidecar/sidecar.yaml]
ports:
  - {name: llm-model, containerPort: 12000, protocol: TCP}
  - {name: llm-admin, containerPort: 9901, protocol: TCP}
startupProbe: {httpGet: {path: /ready, port: llm-admin}, periodSeconds: 1, failureThreshold: 60}
readinessProbe: {httpGet: {path: /ready, port: llm-admin}, periodSeconds: 5}
livenessProbe: {httpGet: {path: /live, port: llm-admin}, periodSeconds: 10, timeoutSeconds: 5}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - {name: llm-sidecar-config, mountPath: /etc/sidecar, readOnly: true}
  - {name: llm-sidecar-keys, mountPath: /etc/sidecar/keys, readOnly: true}
  - {name: llm-sidecar-state, mountPath: /var/lib/sidecar}
{{- end }}

{{- define "llm-sidecar.initContainer" -}}
- restartPolicy: Always
  {{- include "llm-sidecar.container" . | nindent 2 }}
  env:
    - {name: TMPDIR, value: /var/lib/sidecar}
  # Not /drain_listeners: the agent still needs its model while it ends. SIGTERM, which comes after it, is the drain.
  lifecycle:
    preStop:
      exec:
        command:
          - python3
          - -c
          - >-
            import http.client;
            port = http.client.HTTPConnection("127.0.0.1", 9901, timeout=2);
            port.request("POST", "/healthcheck/fail");
            port.getresponse()
  resources:
    {{- toYaml .Values.sidecarResources | nindent 4 }}
{{- end }}

{{- define "llm-sidecar.volumes" -}}
- {name: llm-sidecar-config, configMap: {name: {{ .Values.name }}}}
- {name: llm-sidecar-keys, secret: {secretName: {{ .Values.secrets.keys }}, optional: true}}
- {name: llm-sidecar-state, emptyDir: {sizeLimit: 64Mi}}
{{- end }}
