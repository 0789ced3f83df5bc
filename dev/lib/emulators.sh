# Where the local cluster's emulators of the clouds are, and what opens them; sourced after cluster.sh, never run.
# shellcheck shell=bash disable=SC2034

AWS_PORT=4566
AWS_QUEUE_PORT=4567
AZURE_BLOB_PORT=10000
AZURE_QUEUE_PORT=10001

AWS_URL=http://$NODE_IP:$AWS_PORT
# SQS answers at AWS_URL as well, but slower.
AWS_QUEUE_URL=http://$NODE_IP:$AWS_QUEUE_PORT
AWS_REGION_NAME=eu-central-1
# The emulator takes any.
AWS_KEY=emulator

# The account that Azurite is published with.
AZURE_ACCOUNT=devstoreaccount1
AZURE_KEY=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
AZURE_BLOB_URL=http://$NODE_IP:$AZURE_BLOB_PORT/$AZURE_ACCOUNT
AZURE_QUEUE_URL=http://$NODE_IP:$AZURE_QUEUE_PORT/$AZURE_ACCOUNT

# What programs of either cloud look for in their environment.
print_emulators() {
    printf 'export %s\n' "AWS_ENDPOINT_URL=$AWS_URL" "AWS_ENDPOINT_URL_SQS=$AWS_QUEUE_URL" \
        "AWS_REGION=$AWS_REGION_NAME" "AWS_ACCESS_KEY_ID=$AWS_KEY" \
        "AWS_SECRET_ACCESS_KEY=$AWS_KEY" "AZURE_BLOB_ENDPOINT=$AZURE_BLOB_URL" "AZURE_QUEUE_ENDPOINT=$AZURE_QUEUE_URL" \
        "AZURE_STORAGE_ACCOUNT=$AZURE_ACCOUNT" "AZURE_STORAGE_KEY=$AZURE_KEY"
}

# request METHOD URL [CURL-OPTION...]: fails unless the answer is a success, or says that it is there already.
request() {
    local status
    status=$(curl --silent --max-time 10 --retry 5 --retry-connrefused --output /dev/null --write-out '%{http_code}' \
        --request "$1" "${@:3}" "$2") || fail "$2 does not answer"
    [[ $status == 2?? || $status == 409 ]] || fail "$1 $2 was answered with $status"
}

# Makes the bucket and the queue NAME, as a platform team would, unless they are there: make_aws_store NAME
make_aws_store() {
    request PUT "$AWS_URL/$1" --header 'Content-Type: application/xml' --data \
        "<CreateBucketConfiguration><LocationConstraint>$AWS_REGION_NAME</LocationConstraint></CreateBucketConfiguration>" \
        --header "Authorization: $(aws_authorization s3)"
    request POST "$AWS_URL/" --header "Authorization: $(aws_authorization sqs)" --data Action=CreateQueue \
        --data "QueueName=$1" --data Attribute.1.Name=MessageRetentionPeriod --data Attribute.1.Value=1209600
}

# Names the service and the region; the emulator checks no signature.
aws_authorization() {
    printf 'AWS4-HMAC-SHA256 Credential=%s/20260101/%s/%s/aws4_request, SignedHeaders=host, Signature=none' \
        "$AWS_KEY" "$AWS_REGION_NAME" "$1"
}

# Makes the container and the queue NAME unless they are there: make_azure_store NAME
make_azure_store() {
    local signature
    signature=$(azure_signature)
    request PUT "$AZURE_BLOB_URL/$1?restype=container&$signature" --header 'Content-Length: 0'
    request PUT "$AZURE_QUEUE_URL/$1?$signature" --header 'Content-Length: 0'
}

# A shared access signature for the account, good for an hour
# (https://learn.microsoft.com/rest/api/storageservices/create-account-sas).
azure_signature() {
    local version=2021-12-02 until text key signature
    until=$(date -u -d '+1 hour' +%Y-%m-%dT%H:%M:%SZ)
    printf -v text '%s\nrwdlacup\nbq\nsco\n\n%s\n\nhttps,http\n%s\n\n' "$AZURE_ACCOUNT" "$until" "$version"
    key=$(base64 -d <<<"$AZURE_KEY" | od -An -tx1 | tr -d ' \n')
    signature=$(printf %s "$text" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64 | jq -Rr @uri)
    printf 'sv=%s&ss=bq&srt=sco&sp=rwdlacup&se=%s&spr=https,http&sig=%s' "$version" "$(jq -rn --arg until "$until" '$until | @uri')" "$signature"
}
