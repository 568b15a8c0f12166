#!/usr/bin/env bash
# A certificate for the injector without cert-manager: made here, put into its Secret, and into the webhook configuration
# for API servers to trust. Its own issuer: the key that signed it is not kept. Needs openssl and kubectl.
#
#   certificate.sh [days]
#
# Run it again before the days are over (3650 by default). For the minute in which injectors load the new certificate, API
# servers are told to trust the old one as well.
set -euo pipefail

days=${1:-3650}
kubectl=${KUBECTL:-kubectl}
name=llm-sidecar-injector
namespace=llm-sidecar-injector

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
umask 077

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days "$days" \
  -subj "/CN=$name.$namespace.svc" \
  -addext "subjectAltName=DNS:$name.$namespace.svc,DNS:$name.$namespace.svc.cluster.local" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" \
  -addext "keyUsage=critical,digitalSignature,keyCertSign" \
  -addext "extendedKeyUsage=serverAuth" \
  -keyout "$folder/tls.key" -out "$folder/tls.crt" 2>/dev/null

path='{.webhooks[0].clientConfig.caBundle}'
"$kubectl" get mutatingwebhookconfiguration "$name" -o "jsonpath=$path" | openssl base64 -d -A >"$folder/before.crt"
# The newest first, and one before it.
bundle=$({ cat "$folder/tls.crt"; openssl x509 -in "$folder/before.crt" 2>/dev/null || true; } | openssl base64 -A)

# First whom to trust, then whom to meet.
"$kubectl" patch mutatingwebhookconfiguration "$name" --type=json --patch "[
  {\"op\": \"add\", \"path\": \"/webhooks/0/clientConfig/caBundle\", \"value\": \"$bundle\"},
  {\"op\": \"add\", \"path\": \"/webhooks/1/clientConfig/caBundle\", \"value\": \"$bundle\"}
]"
"$kubectl" create secret tls "$name-tls" --namespace "$namespace" --cert "$folder/tls.crt" --key "$folder/tls.key" \
  --dry-run=client --output yaml | "$kubectl" apply -f -
