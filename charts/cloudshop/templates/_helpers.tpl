{{/* Labels of every object of the operator. */}}
{{- define "cloudshop.labels" -}}
{{ include "cloudshop.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{/* Labels that the operator's pods are selected by. */}}
{{- define "cloudshop.selectorLabels" -}}
app.kubernetes.io/name: cloudshop-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Reference of an image: list CONTEXT NAME. */}}
{{- define "cloudshop.image" -}}
{{- $context := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := $context.Values.image -}}
{{- with index ($image.digest | default dict) $name -}}
{{ $image.repository }}/{{ $name }}@{{ . }}
{{- else -}}
{{ $image.repository }}/{{ $name }}:{{ $image.tag | default $context.Chart.AppVersion }}
{{- end -}}
{{- end }}
