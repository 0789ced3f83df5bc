//! The provider that the shops of this run live on, and a store of its own for each test. Runs dev/emulated-store.sh.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::process::Command;

/// Secret with what opens a test's store on an emulator.
const CREDENTIALS: &str = "store-credentials";

/// Where the shops' pods, and a pod that looks at their store, find it.
const CREDENTIALS_FOLDER: &str = "/var/run/secrets/cloudshop.dev/credentials";

/// Makes a store called `name` for shops of the namespace of this name, on the provider that PROVIDER names (embedded when
/// it is not set), and gives their `spec.storage`.
pub(super) async fn new_store(client: &Client, name: &str) -> Value {
    match std::env::var("PROVIDER").as_deref() {
        Err(_) | Ok("embedded") => super::shop::embedded()["storage"].take(),
        Ok("aws") => {
            let keys = json!({"AWS_ACCESS_KEY_ID": "emulator", "AWS_SECRET_ACCESS_KEY": "emulator"});
            make(client, "aws", name, keys).await;
            json!({
                "provider": "Aws",
                "aws": {
                    "region": "eu-central-1",
                    "bucket": name,
                    "queue": name,
                    "endpoint": {"blob": named("AWS_ENDPOINT_URL"), "queue": named("AWS_ENDPOINT_URL"), "allowPlainHttp": true},
                    "credentials": {"secretName": CREDENTIALS},
                },
            })
        }
        Ok("azure") => {
            make(client, "azure", name, json!({"AZURE_STORAGE_KEY": named("AZURE_STORAGE_KEY")})).await;
            json!({
                "provider": "Azure",
                "azure": {
                    "account": named("AZURE_STORAGE_ACCOUNT"),
                    "container": name,
                    "queue": name,
                    "endpoint": {
                        "blob": named("AZURE_BLOB_ENDPOINT"),
                        "queue": named("AZURE_QUEUE_ENDPOINT"),
                        "allowPlainHttp": true,
                    },
                    "credentials": {"secretName": CREDENTIALS},
                },
            })
        }
        Ok(other) => panic!("PROVIDER is {other}; write embedded, aws or azure"),
    }
}

fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; see dev/end-to-end.sh"))
}

async fn make(client: &Client, provider: &str, name: &str, keys: Value) {
    let made = Command::new("../dev/emulated-store.sh").args([provider, name]).kill_on_drop(true).output().await;
    let made = made.expect("dev/emulated-store.sh runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let secret = json!({"metadata": {"name": CREDENTIALS}, "stringData": keys});
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    let secrets: Api<Secret> = Api::namespaced(client.clone(), name);
    secrets.create(&PostParams::default(), &secret).await.expect("a new Secret");
}

/// Volumes and mounts by which a pod reaches the store of `shop` as the shop's own pods do.
pub(super) fn access(storage: &Value, shop: &str) -> (Value, Value) {
    if storage["provider"] == "Embedded" {
        return (
            json!({"name": "store", "persistentVolumeClaim": {"claimName": format!("{shop}-data")}}),
            json!({"name": "store", "mountPath": "/var/lib/cloudshop"}),
        );
    }
    (
        json!({"name": "store", "secret": {"secretName": CREDENTIALS, "defaultMode": 0o440}}),
        json!({"name": "store", "mountPath": CREDENTIALS_FOLDER, "readOnly": true}),
    )
}
