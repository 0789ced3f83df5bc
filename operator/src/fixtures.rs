//! Shops and what is seen of them, for the tests of this crate. No I/O.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};
use shop_contract::{
    status::{OwnedShard, PodStatus, QueueStatus},
    switch::{SwitchSummary, Verification},
};

use crate::{
    api::{Shop, ShopStatus},
    build::BuildSettings,
    labels::Component,
    observation::{DeploymentState, Observation, PodState, Report, ServiceState},
    validate::{ValidatedShop, validate},
};

/// UID of the Shop that [`shop`] makes.
pub(crate) const UID: &str = "6f1c2d3e-0000-4000-8000-000000000001";

/// A Shop called corner with this spec, as the API server would store it.
pub(crate) fn shop(spec: Value) -> Shop {
    Shop {
        metadata: ObjectMeta {
            name: Some("corner".into()),
            namespace: Some("shops".into()),
            uid: Some(UID.into()),
            generation: Some(3),
            ..ObjectMeta::default()
        },
        spec: serde_json::from_value(spec).expect("a spec"),
        status: None,
    }
}

/// The least that a Shop's spec can say.
pub(crate) fn least() -> Value {
    json!({ "storage": { "provider": "Embedded" } })
}

/// A Shop whose spec says everything.
pub(crate) fn most() -> Value {
    json!({
        "storage": {
            "provider": "Embedded",
            "embedded": { "volumeClaim": { "size": "20Gi", "storageClassName": "fast" } },
            "adoptExisting": true,
        },
        "orders": { "shards": 8 },
        "onPartition": { "carts": "Consistency", "submit": "Availability" },
        "catalogue": { "sample": false },
        "web": {
            "autoscaling": { "minReplicas": 3, "maxReplicas": 30, "targetCpuUtilization": 50 },
            "resources": { "requests": { "cpu": "500m", "memory": "64Mi" }, "limits": { "cpu": "2", "memory": "128Mi" } },
        },
        "worker": {
            "autoscaling": { "minReplicas": 2, "maxReplicas": 6, "targetCpuUtilization": 70 },
            "resources": { "limits": { "memory": "96Mi" } },
        },
        "expose": {
            "service": { "type": "LoadBalancer" },
            "ingress": { "host": "shop.example.org", "className": "nginx", "tlsSecretName": "shop-tls" },
        },
        "deletionPolicy": "Retain",
        "paused": false,
    })
}

/// A Shop on AWS, with a role.
pub(crate) fn on_aws() -> Value {
    json!({ "storage": {
        "provider": "Aws",
        "aws": {
            "region": "eu-central-1",
            "bucket": "corner-shop",
            "queue": "corner-shop",
            "credentials": { "workloadIdentity": { "roleArn": "arn:aws:iam::123456789012:role/corner" } },
        },
    } })
}

/// A Shop on servers that stand in for Azure, with a Secret, and with settings of AWS beside it.
pub(crate) fn on_azure() -> Value {
    let mut spec = on_aws();
    spec["storage"]["provider"] = json!("Azure");
    spec["storage"]["azure"] = json!({
        "account": "cornershop",
        "container": "shop",
        "queue": "shop",
        "endpoint": {
            "blob": "https://azure.example:10000/cornershop",
            "queue": "http://azure.example:10001/cornershop",
            "allowPlainHttp": true,
            "caSecretName": "corner-ca",
        },
        "credentials": { "secretName": "corner-azure" },
    });
    spec
}

/// The validated form of a Shop with this spec.
pub(crate) fn validated(spec: Value) -> ValidatedShop {
    validate(&shop(spec)).expect("a valid Shop")
}

/// What the operator of these tests builds shops with.
pub(crate) fn settings() -> BuildSettings {
    BuildSettings {
        image: "cloudshop/shop:0.1.0".into(),
        image_pull_policy: "IfNotPresent".into(),
        image_pull_secrets: vec!["registry".into()],
        operator_namespace: "cloudshop-system".into(),
        scale_down_seconds: 300,
    }
}

/// A Deployment of which all `pods` serve.
pub(crate) fn serving(pods: i32) -> DeploymentState {
    DeploymentState {
        current: true,
        desired: pods,
        replicas: pods,
        updated: pods,
        ready: pods,
        available: pods,
        stuck: None,
    }
}

/// A pod that is ready and was not asked.
pub(crate) fn pod(name: &str, component: Component) -> PodState {
    PodState {
        name: name.into(),
        component,
        ready: true,
        terminating: false,
        address: Some("198.18.128.7".into()),
        node_address: Some("198.18.0.1".into()),
        trouble: None,
        report: Report::NotAsked,
    }
}

/// What a worker that owns `shards` says.
pub(crate) fn told(shards: &[u16]) -> PodStatus {
    PodStatus {
        boot_id: "boot".into(),
        version: "0.1.0".into(),
        store_owner: Some(UID.into()),
        waiting: Vec::new(),
        shards: shards.iter().map(|&shard| OwnedShard { shard, epoch: 7, home: None }).collect(),
        queue: Some(QueueStatus { depth: 0, elsewhere: BTreeMap::new(), dead_letters: 0, age_millis: 0 }),
        lacks: Vec::new(),
        switch: None,
        settled: None,
        moved: None,
        copying: None,
    }
}

/// What the report of a switch says.
pub(crate) fn reported(number: u64) -> SwitchSummary {
    let report_key = format!("switches/{number}/report");
    let verification = Some(Verification { orders: 40, mismatches: 0, is_whole: true });
    SwitchSummary {
        number,
        report_key,
        files: 12,
        bytes: 3_000,
        longest_hold_millis: Some(180),
        verification,
        nanodollars: Some(1_230_001),
    }
}

/// A shop of two web pods and one worker, all of which serve.
pub(crate) fn all_serving() -> Observation {
    let mut worker = pod("corner-worker-a", Component::Worker);
    worker.report = Report::Told(Box::new(told(&[0, 1, 2, 3])));
    Observation {
        web: Some(serving(2)),
        worker: Some(serving(1)),
        pods: vec![pod("corner-web-a", Component::Web), pod("corner-web-b", Component::Web), worker],
        since: Timestamp::UNIX_EPOCH,
        claim_bound: true,
        service: ServiceState::default(),
    }
}

/// No status yet.
pub(crate) fn no_status() -> ShopStatus {
    ShopStatus::default()
}
