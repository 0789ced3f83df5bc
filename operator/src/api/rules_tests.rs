//! Each rule of the Shop, as the API server applies it: what is refused, where, and in which words.

use kube::{CustomResourceExt as _, core::cel::Validator};
use serde_json::{Value, json};

use super::Shop;
use crate::fixtures::{least, most, on_aws, on_azure, shop};

/// A Shop as the API server stores it, with every default.
fn stored(spec: Value) -> Value {
    serde_json::to_value(shop(spec)).expect("JSON")
}

fn with(mut object: Value, changes: &[(&str, Value)]) -> Value {
    for (path, value) in changes {
        let (parent, field) = path.rsplit_once('/').expect("a path");
        let mut place = &mut object;
        for step in parent.split('/').skip(1) {
            place = &mut place[step];
        }
        if value.is_null() {
            place.as_object_mut().expect("an object").remove(field);
        } else {
            place[field] = value.clone();
        }
    }
    object
}

/// The places and messages of what the rules refuse.
fn refused(object: &Value, old: Option<&Value>) -> Vec<(String, String)> {
    let crd = Shop::crd();
    let schema = crd.spec.versions[0].schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let schema = serde_json::to_value(schema.expect("a schema")).expect("JSON");
    match Validator::new().validate(&schema, object, old) {
        Ok(()) => Vec::new(),
        Err(errors) => {
            errors.as_slice().iter().map(|error| (error.field_path.clone(), error.message.clone())).collect()
        }
    }
}

const NAME: &str = "metadata.name becomes the name of a Service; write one that starts with a letter and holds only a-z, 0-9 and '-', such as corner";
const LONG_NAME: &str = "metadata.name has more than 39 characters; write a shorter one, since the names of the shop's pods are made from it";
const TOO_MANY_WORKERS: &str = "spec.worker.autoscaling.maxReplicas is larger than spec.orders.shards; write at most the number of shards, since a worker without a shard has nothing to do";
const TOO_FEW_SHARDS: &str = "spec.worker.autoscaling.minReplicas is larger than spec.orders.shards; write at most the number of shards, since a worker without a shard has nothing to do";
const RANGE: &str = "minReplicas is larger than maxReplicas; write a minReplicas of at most maxReplicas";
const SIZE: &str = "size is not a quantity; write a number with a unit, such as 10Gi";
const SMALL: &str = "size is below 64Mi; write a size that holds a shop, such as 10Gi";
const LARGE: &str = "size is above 64Ti; write at most 64Ti";
const STORAGE_CLASS: &str = "storageClassName is not the name of a storage class; write one that `kubectl get storageclass` shows, or leave it out for the default one";
const OTHER_CLASS: &str = "storageClassName cannot change, as the volume stays where it is; write the earlier value";
const SHARDS: &str =
    "spec.orders.shards cannot change, as every order is kept in the shard that its id names; write the earlier value";
const HOST: &str = "host is not a host name; write the name alone, in lower case and without http://, port or path, such as shop.example.org";
const CLASS: &str = "className is not the name of an ingress class; write one that `kubectl get ingressclass` shows, or leave it out for the default one";
const TLS: &str = "tlsSecretName is not the name of a Secret; write that of a Secret of type kubernetes.io/tls in this namespace, or leave it out for plain HTTP";
const CPU: &str = "cpu is not a quantity; write cores or thousandths of a core, such as 250m";
const LITTLE_CPU: &str = "cpu is below 10m; write at least 10m";
const MUCH_CPU: &str = "cpu is above 256 cores; write at most 256";
const MEMORY: &str = "memory is not a quantity; write a number with a unit, such as 128Mi";
const LITTLE_MEMORY: &str = "memory is below 32Mi; write at least 32Mi";
const MUCH_MEMORY: &str = "memory is above 4Ti; write at most 4Ti";
const CPU_REQUEST: &str = "requests.cpu is larger than limits.cpu; write a request of at most the limit";
const MEMORY_REQUEST: &str = "requests.memory is larger than limits.memory; write a request of at most the limit";

const NO_AWS: &str =
    "spec.storage.provider is Aws, but spec.storage.aws is missing; write its region, bucket, queue and credentials";
const NO_AZURE: &str = "spec.storage.provider is Azure, but spec.storage.azure is missing; write its account, container, queue and credentials";
const STILL_IN_AWS: &str = "the shop's data is in Aws, but spec.storage.aws is missing; leave the settings until status.provider is another one";
const AWS_LOCATION: &str = "region, bucket and queue cannot change yet, as this version moves a live shop to another cloud, not within one; write the earlier values";
const AZURE_LOCATION: &str = "account, container and queue cannot change yet, as this version moves a live shop to another cloud, not within one; write the earlier values";
const ENDPOINT_GONE: &str =
    "endpoint cannot come or go, as the shop's data stays where it is; write what was there before";
const ENDPOINT: &str =
    "endpoint.blob and endpoint.queue cannot change, as the shop's data stays where it is; write the earlier values";
const PLAIN: &str =
    "endpoint is not encrypted; write https://, or allowPlainHttp: true where the network is to be trusted";
const KINDS: &str = "credentials name both kinds or none; write either workloadIdentity or secretName";

#[test]
fn what_the_rules_refuse_of_a_cloud_they_refuse_in_these_words() {
    const AWS: &str = "/spec/storage/aws";
    const AZURE: &str = "/spec/storage/azure";
    let cases = [
        (on_aws(), AWS, "", Value::Null, NO_AWS),
        (on_azure(), AZURE, "", Value::Null, NO_AZURE),
        (
            on_aws(),
            AWS,
            "/region",
            json!("Frankfurt"),
            "region is not a region of AWS; write its code, such as eu-central-1",
        ),
        (
            on_aws(),
            AWS,
            "/bucket",
            json!("s3://corner"),
            "bucket is not the name of a bucket; write the name alone, without s3:// or arn:, in lower-case letters, digits, '-' and '.'",
        ),
        (
            on_aws(),
            AWS,
            "/queue",
            json!("corner.fifo"),
            "queue is not the name of a standard queue of SQS; write the name alone, without URL or arn:, in letters, digits, '-' and '_'",
        ),
        (on_aws(), AWS, "/credentials", json!({}), KINDS),
        (on_aws(), AWS, "/credentials", json!({ "workloadIdentity": {}, "secretName": "both" }), KINDS),
        (
            on_aws(),
            AWS,
            "/credentials",
            json!({ "secretName": "a/b" }),
            "secretName is not the name of a Secret; write that of a Secret in this namespace",
        ),
        (
            on_aws(),
            AWS,
            "/credentials",
            json!({ "workloadIdentity": { "roleArn": "arn:aws:iam::12:role/corner" } }),
            "roleArn is not the ARN of a role; write one such as arn:aws:iam::123456789012:role/corner",
        ),
        (
            on_azure(),
            AZURE,
            "/account",
            json!("corner-shop"),
            "account is not the name of a storage account; write the name alone, in lower-case letters and digits",
        ),
        (
            on_azure(),
            AZURE,
            "/container",
            json!("Shop"),
            "container is not the name of a container; write the name alone, in lower-case letters, digits and single '-'",
        ),
        (
            on_azure(),
            AZURE,
            "/queue",
            json!("a--b"),
            "queue is not the name of a queue of Queue Storage; write the name alone, in lower-case letters, digits and single '-'",
        ),
        (on_azure(), AZURE, "/credentials", json!({}), KINDS),
        (
            on_azure(),
            AZURE,
            "/credentials",
            json!({ "workloadIdentity": { "clientId": "corner" } }),
            "clientId is not a client id; write the UUID that `az identity show --query clientId` prints",
        ),
        (on_azure(), AZURE, "/endpoint/allowPlainHttp", json!(false), PLAIN),
        (
            on_azure(),
            AZURE,
            "/endpoint/blob",
            json!("azure.example"),
            "blob is not the URL of a server; write one such as https://minio.example.org:9000",
        ),
        (
            on_azure(),
            AZURE,
            "/endpoint/queue",
            json!("ftp://azure.example"),
            "queue is not the URL of a server; write one such as https://queue.example.org:9324",
        ),
        (
            on_azure(),
            AZURE,
            "/endpoint/caSecretName",
            json!("a/b"),
            "caSecretName is not the name of a Secret; write that of a Secret in this namespace with the key ca.crt",
        ),
    ];
    for (spec, cloud, field, value, message) in cases {
        let path = format!("{cloud}{field}");
        let refused = refused(&with(stored(spec), &[(&path, value.clone())]), None);
        let messages: Vec<_> = refused.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(messages, [message], "{path}: {value}");
    }
}

#[test]
fn the_provider_may_change_between_clouds_and_the_settings_stay_until_the_data_has_left() {
    let before = with(stored(on_azure()), &[("/status", json!({ "provider": "Azure" }))]);
    let moving = with(before.clone(), &[("/spec/storage/provider", json!("Aws"))]);
    assert_eq!(refused(&moving, Some(&before)), []);
    let early = with(moving.clone(), &[("/spec/storage/azure", Value::Null)]);
    let messages: Vec<_> = refused(&early, Some(&moving)).into_iter().map(|(_, message)| message).collect();
    assert_eq!(messages, [STILL_IN_AWS.replace("Aws", "Azure").replace("aws", "azure")]);
    let switch = json!({ "id": "1", "phase": "CuttingOver", "from": "Aws", "to": "Azure", "shardsMoved": 1, "shardsTotal": 4, "nextStep": "" });
    let going_back = with(moving.clone(), &[("/status", json!({ "provider": "Aws", "switch": switch }))]);
    let early = with(going_back.clone(), &[("/spec/storage/azure", Value::Null)]);
    let messages: Vec<_> = refused(&early, Some(&going_back)).into_iter().map(|(_, message)| message).collect();
    assert_eq!(
        messages,
        [
            "a switch from or to Azure is under way, but spec.storage.azure is missing; leave the settings until status.switch.phase is Completed or Aborted and its queue is empty"
        ]
    );
    let back = with(going_back, &[("/status/switch/phase", json!("Aborted"))]);
    assert_eq!(refused(&with(back.clone(), &[("/spec/storage/azure", Value::Null)]), Some(&back)), []);
    let moved = with(moving, &[("/status/provider", json!("Aws"))]);
    let after = with(moved.clone(), &[("/spec/storage/azure", Value::Null)]);
    assert_eq!(refused(&after, Some(&moved)), []);
}

#[test]
fn a_shop_moves_where_there_are_settings_and_stays_within_a_cloud_where_it_is() {
    let cases = [
        (least(), "/spec/storage/provider", json!("Aws"), vec![NO_AWS]),
        (on_azure(), "/spec/storage/provider", json!("Embedded"), vec![]),
        (on_azure(), "/spec/storage/embedded/volumeClaim/storageClassName", json!("fast"), vec![]),
        (on_aws(), "/spec/storage/aws/bucket", json!("other"), vec![AWS_LOCATION]),
        (on_azure(), "/spec/storage/aws/region", json!("eu-west-1"), vec![AWS_LOCATION]),
        (on_aws(), "/spec/storage/aws/endpoint", json!({ "blob": "https://a.example" }), vec![ENDPOINT_GONE]),
        (on_azure(), "/spec/storage/azure/container", json!("other"), vec![AZURE_LOCATION]),
        (on_azure(), "/spec/storage/azure/endpoint", Value::Null, vec![ENDPOINT_GONE]),
        (on_azure(), "/spec/storage/azure/endpoint/blob", json!("https://other.example"), vec![ENDPOINT]),
    ];
    for (spec, path, value, wanted) in cases {
        let before = stored(spec);
        let refused = refused(&with(before.clone(), &[(path, value)]), Some(&before));
        let mut messages: Vec<_> = refused.iter().map(|(_, message)| message.as_str()).collect();
        messages.sort_unstable();
        let mut wanted = wanted;
        wanted.sort_unstable();
        assert_eq!(messages, wanted, "{path}");
    }
}

#[test]
fn what_was_not_used_yet_may_come_and_credentials_may_change() {
    let cases = [
        (least(), "/spec/storage/aws", on_aws()["storage"]["aws"].clone()),
        (on_aws(), "/spec/storage/azure", on_azure()["storage"]["azure"].clone()),
        (on_aws(), "/spec/storage/aws/credentials", json!({ "secretName": "corner-aws" })),
        (on_azure(), "/spec/storage/aws", Value::Null),
        (on_azure(), "/spec/storage/azure/endpoint/caSecretName", json!("other-ca")),
    ];
    for (spec, path, value) in cases {
        let before = stored(spec);
        assert_eq!(refused(&before, None), [], "{path}");
        assert_eq!(refused(&with(before.clone(), &[(path, value)]), Some(&before)), [], "{path}");
    }
}

#[test]
fn what_the_rules_refuse_at_creation_they_refuse_in_these_words() {
    const CLAIM: &str = "/spec/storage/embedded/volumeClaim";
    let one = |path: &str, value: Value| vec![(path.to_owned(), value)];
    let resources = |tier: &str, value: Value| one(&format!("/spec/{tier}/resources"), value);
    let size = |value: &str| one(&format!("{CLAIM}/size"), json!(value));
    let storage_class = |value: &str| one(&format!("{CLAIM}/storageClassName"), json!(value));
    let name = |value: &str| one("/metadata/name", json!(value));
    let ingress = |value: Value| one("/spec/expose/ingress", value);
    let host = |value: &str| ingress(json!({ "host": value }));
    let cases = [
        (name("1corner"), NAME),
        (name("-corner"), NAME),
        (name("corner-"), NAME),
        (name("Corner"), NAME),
        (name("corner.shop"), NAME),
        (name("corner_shop"), NAME),
        (name(&"a".repeat(40)), LONG_NAME),
        (one("/spec/worker/autoscaling/maxReplicas", json!(5)), TOO_MANY_WORKERS),
        (one("/spec/worker/autoscaling/minReplicas", json!(5)), TOO_FEW_SHARDS),
        (
            vec![
                ("/spec/worker/autoscaling/minReplicas".into(), json!(3)),
                ("/spec/worker/autoscaling/maxReplicas".into(), json!(2)),
            ],
            RANGE,
        ),
        (one("/spec/web/autoscaling/minReplicas", json!(21)), RANGE),
        (one("/spec/web/autoscaling/maxReplicas", json!(1)), RANGE),
        (size("ten"), SIZE),
        (size("10GB"), SIZE),
        (size("10 Gi"), SIZE),
        (size("63Mi"), SMALL),
        (size("0"), SMALL),
        (size("-1Gi"), SMALL),
        (size("65Ti"), LARGE),
        (storage_class(""), STORAGE_CLASS),
        (storage_class("Fast"), STORAGE_CLASS),
        (storage_class("fast disk"), STORAGE_CLASS),
        (host("http://shop.example.org"), HOST),
        (host("shop.example.org/"), HOST),
        (host("shop.example.org:8080"), HOST),
        (host("Shop.example.org"), HOST),
        (host("*.example.org"), HOST),
        (host(".example.org"), HOST),
        (host("shop..org"), HOST),
        (ingress(json!({ "host": "a.example", "className": "" })), CLASS),
        (ingress(json!({ "host": "a.example", "className": "Nginx" })), CLASS),
        (ingress(json!({ "host": "a.example", "tlsSecretName": "" })), TLS),
        (ingress(json!({ "host": "a.example", "tlsSecretName": "a/b" })), TLS),
        (resources("web", json!({ "requests": { "cpu": "much" } })), CPU),
        (resources("web", json!({ "limits": { "cpu": "1 core" } })), CPU),
        (resources("worker", json!({ "requests": { "cpu": "1GHz" } })), CPU),
        (resources("web", json!({ "requests": { "cpu": "0" } })), LITTLE_CPU),
        (resources("worker", json!({ "requests": { "cpu": "9m" } })), LITTLE_CPU),
        (resources("worker", json!({ "limits": { "cpu": "257" } })), MUCH_CPU),
        (resources("web", json!({ "requests": { "memory": "lots" } })), MEMORY),
        (resources("worker", json!({ "limits": { "memory": "1GB" } })), MEMORY),
        (resources("web", json!({ "requests": { "memory": "128m" } })), LITTLE_MEMORY),
        (resources("worker", json!({ "limits": { "memory": "31Mi" } })), LITTLE_MEMORY),
        (resources("web", json!({ "limits": { "memory": "5Ti" } })), MUCH_MEMORY),
        (resources("web", json!({ "requests": { "cpu": "2" }, "limits": { "cpu": "1500m" } })), CPU_REQUEST),
        (resources("worker", json!({ "requests": { "cpu": "2" }, "limits": { "cpu": "1" } })), CPU_REQUEST),
        (resources("web", json!({ "requests": { "memory": "1Gi" }, "limits": { "memory": "1G" } })), MEMORY_REQUEST),
        (resources("worker", json!({ "requests": { "memory": "1Gi" }, "limits": { "memory": "1G" } })), MEMORY_REQUEST),
    ];
    for (changes, wanted) in cases {
        let changes: Vec<_> = changes.iter().map(|(path, value)| (path.as_str(), value.clone())).collect();
        let refused = refused(&with(stored(least()), &changes), None);
        let messages: Vec<_> = refused.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(messages, [wanted], "{changes:?}");
    }
}

#[test]
fn what_the_rules_refuse_as_a_change_they_refuse_in_these_words() {
    const CLAIM: &str = "/spec/storage/embedded/volumeClaim";
    let class = format!("{CLAIM}/storageClassName");
    let cases = [
        ((least(), "/spec/orders/shards", json!(5)), "spec.orders.shards", SHARDS),
        ((most(), "/spec/orders/shards", json!(6)), "spec.orders.shards", SHARDS),
        ((least(), &class, json!("fast")), "spec.storage", OTHER_CLASS),
        ((most(), &class, json!("slow")), "spec.storage", OTHER_CLASS),
        ((most(), &class, Value::Null), "spec.storage", OTHER_CLASS),
    ];
    for ((spec, path, value), place, message) in cases {
        let before = stored(spec);
        let after = with(before.clone(), &[(path, value)]);
        assert_eq!(refused(&after, Some(&before)), [(place.to_owned(), message.to_owned())], "{path}");
    }
}

#[test]
fn the_rules_let_through_what_is_right() {
    let least = stored(least());
    let most = stored(most());
    let changes = [
        ("/spec/storage/embedded/volumeClaim/size", json!("20480Mi")),
        ("/spec/storage/adoptExisting", json!(true)),
        ("/spec/worker/autoscaling/maxReplicas", json!(4)),
        ("/spec/expose/ingress", json!({ "host": "localhost" })),
        ("/spec/web/resources", json!({ "requests": { "cpu": "0.5", "memory": "64Mi" }, "limits": { "cpu": "1" } })),
        ("/spec/paused", json!(true)),
    ];
    for object in [&least, &most] {
        assert_eq!(refused(object, None), []);
        assert_eq!(refused(object, Some(object)), []);
    }
    for change in changes {
        let after = with(least.clone(), std::slice::from_ref(&change));
        assert_eq!(refused(&after, Some(&least)), [], "{change:?}");
    }
    assert_eq!(refused(&with(least.clone(), &[("/metadata/name", json!("a".repeat(39)))]), None), []);
}

#[test]
fn every_field_of_the_spec_is_described_and_every_text_is_bounded() {
    fn check(path: &str, schema: &Value) {
        let described = schema["description"].as_str().is_some_and(|text| text.ends_with('.'));
        assert!(described, "{path} has no description that is a sentence");
        if schema["type"] == "string" && schema.get("enum").is_none() {
            assert!(schema.get("maxLength").is_some(), "{path} has no maxLength");
        }
        assert!(schema.get("nullable").is_none(), "{path} is nullable, so that a null would reach the rules");
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            check(&format!("{path}.{name}"), field);
        }
    }
    let crd = serde_json::to_value(Shop::crd()).expect("JSON");
    check("spec", &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]);
}

#[test]
fn a_choice_between_consistency_and_availability_may_change_at_any_time_and_nothing_else_may_be_chosen() {
    let before = stored(least());
    assert_eq!(before["spec"]["onPartition"], json!({ "carts": "Availability", "submit": "Consistency" }));
    let other =
        with(before.clone(), &[("/spec/onPartition", json!({ "carts": "Consistency", "submit": "Availability" }))]);
    assert_eq!(refused(&other, Some(&before)), []);
    let one = json!({ "onPartition": { "submit": "Availability" } });
    let mut spec = least();
    spec["onPartition"] = one["onPartition"].clone();
    assert_eq!(stored(spec)["spec"]["onPartition"], json!({ "carts": "Availability", "submit": "Availability" }));
    let crd = serde_json::to_value(Shop::crd()).expect("JSON");
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    let choices = &schema["onPartition"]["properties"]["carts"]["enum"];
    assert_eq!(choices, &json!(["Consistency", "Availability"]));
}
