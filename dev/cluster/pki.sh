# Certificates and kubeconfigs of a local cluster, made once; sourced, never run.
# shellcheck shell=bash

make_authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
        -keyout "$1.key" -out "$1.crt" -subj "/CN=$2" 2>/dev/null
}

# sign NAME SUBJECT AUTHORITY [ALTERNATIVE-NAMES]
sign() {
    local name=$1 subject=$2 authority=$3 names=${4:-}
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -subj "$subject" 2>/dev/null |
        openssl x509 -req -CA "$authority.crt" -CAkey "$authority.key" -CAcreateserial -days 3650 -out "$name.crt" \
            -extfile <(
                echo 'keyUsage=digitalSignature'
                echo 'extendedKeyUsage=serverAuth,clientAuth'
                [[ -z $names ]] || echo "subjectAltName=$names"
            ) 2>/dev/null
}

# kubeconfig FILE CERTIFICATE-NAME
kubeconfig() {
    cat >"$1" <<CONFIG
apiVersion: v1
kind: Config
current-context: cloudshop-local
clusters:
- name: cloudshop-local
  cluster:
    server: $API_URL
    certificate-authority-data: $(base64 -w0 ca.crt)
users:
- name: $2
  user:
    client-certificate-data: $(base64 -w0 "$2.crt")
    client-key-data: $(base64 -w0 "$2.key")
contexts:
- name: cloudshop-local
  context: {cluster: cloudshop-local, user: $2}
CONFIG
}

make_certificates() (
    umask 077
    rm -rf "$RUN/pki.partial"
    mkdir "$RUN/pki.partial"
    cd "$RUN/pki.partial" || exit
    make_authority ca cloudshop-local
    make_authority front-proxy-ca cloudshop-local-front-proxy
    sign apiserver /CN=kube-apiserver ca \
        "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:$NODE_IP,IP:$API_SERVICE_IP"
    sign apiserver-to-kubelet /O=system:masters/CN=kube-apiserver ca
    sign front-proxy /CN=front-proxy-client front-proxy-ca
    sign admin /O=system:masters/CN=admin ca
    sign controller-manager /CN=system:kube-controller-manager ca
    sign scheduler /CN=system:kube-scheduler ca
    sign proxy /CN=system:kube-proxy ca
    sign provisioner /O=system:masters/CN=volume-provisioner ca
    sign metrics-server /CN=metrics-server ca DNS:metrics-server.kube-system.svc
    sign kubelet "/O=system:nodes/CN=system:node:$NODE_NAME" ca "DNS:$NODE_NAME,IP:$NODE_IP"
    openssl ecparam -name prime256v1 -genkey -noout -out service-accounts.key
    local name
    for name in admin controller-manager scheduler proxy provisioner metrics-server kubelet; do
        kubeconfig "$name.kubeconfig" "$name"
    done
    mv "$RUN/pki.partial" "$RUN/pki"
)
