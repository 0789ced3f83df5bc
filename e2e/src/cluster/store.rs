//! The data of a shop, seen without the shop. Starts pods, looks at the node's file system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Api;
use kube::api::{DeleteParams, LogParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use shop_contract::config::ShopConfig;

use super::operator::images;
use super::provider::access;
use super::shop::Shop;
use crate::verified::clean_orders;

const NAME: &str = "verify";

/// Most bytes of a ledger that one `ConfigMap` takes, below the megabyte that the API server allows.
const PART_BYTES: usize = 900 * 1024;

/// Longest that reading a store and comparing it takes.
const VERIFIED: Duration = Duration::from_mins(5);

/// Runs `shop verify` in a pod on the store of a shop that is gone, with the config that its pods had, and gives the number
/// of orders in it.
pub async fn verify_store(shop: &Shop, config: &str, ledger: Option<&Path>) -> u64 {
    let namespace = &shop.namespace;
    let maps: Api<ConfigMap> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), &namespace.name);
    let text = ledger.map(|ledger| std::fs::read_to_string(ledger).expect("the ledger")).unwrap_or_default();
    let mut files = vec![("shop.toml".to_owned(), config.to_owned())];
    files.extend(parts(&text).into_iter().enumerate().map(|(number, part)| (format!("ledger-{number}"), part)));
    for (file, content) in &files {
        let map = json!({"metadata": {"name": map_of(file)}, "data": {file: content}});
        let map = serde_json::from_value(map).expect("a ConfigMap");
        maps.create(&PostParams::default(), &map).await.expect("the ConfigMap is taken");
    }
    let files: Vec<String> = files.into_iter().map(|(file, _)| file).collect();
    let pod = serde_json::from_value(pod(shop, config, &files)).expect("a Pod");
    pods.create(&PostParams::default(), &pod).await.expect("a pod on the store");
    let ended = await_condition(pods.clone(), NAME, |pod: Option<&Pod>| {
        let phase = pod.and_then(|pod| pod.status.as_ref()).and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    });
    tokio::time::timeout(VERIFIED, ended).await.expect("it ends in time").expect("the watch goes on");
    let output = pods.logs(NAME, &LogParams::default()).await.expect("its output");
    let report = output.lines().rfind(|line| line.starts_with('{')).unwrap_or(&output);
    let orders = clean_orders(report);
    pods.delete(NAME, &DeleteParams::default().grace_period(0)).await.expect("the pod is deleted");
    for file in &files {
        maps.delete(&map_of(file), &DeleteParams::default()).await.expect("the ConfigMap is deleted");
    }
    orders
}

fn map_of(file: &str) -> String {
    format!("{NAME}-{}", file.replace('.', "-"))
}

/// A ledger in parts, each of whole lines.
fn parts(ledger: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for line in ledger.split_inclusive('\n') {
        match parts.last_mut() {
            Some(part) if part.len() + line.len() <= PART_BYTES => part.push_str(line),
            _ => parts.push(line.to_owned()),
        }
    }
    parts
}

/// A pod that verifies the store that `config` has as home.
fn pod(shop: &Shop, config: &str, files: &[String]) -> serde_json::Value {
    let (registry, tag) = images();
    let home = ShopConfig::parse(config).expect("a config").storage.provider;
    let (volume, mount) = access(home, &shop.name);
    let mut command: Vec<String> =
        ["/shop", "verify", "--config", "/files/shop.toml", "--output", "json"].map(str::to_owned).into();
    for file in files.iter().filter(|file| file.starts_with("ledger")) {
        command.extend(["--ledger".to_owned(), format!("/files/{file}")]);
    }
    let sources: Vec<_> = files.iter().map(|file| json!({"configMap": {"name": map_of(file)}})).collect();
    json!({
        "metadata": {"name": NAME},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": NAME,
                "image": format!("{registry}/shop:{tag}"),
                "command": command,
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [
                    mount,
                    {"name": "files", "mountPath": "/files", "readOnly": true},
                ],
            }],
            "volumes": [
                volume,
                {"name": "files", "projected": {"sources": sources}},
            ],
        },
    })
}

/// Where the node keeps the files of a shop's claim, as this machine sees it.
pub async fn volume_folder(shop: &Shop) -> PathBuf {
    let client = &shop.namespace.client;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &shop.namespace.name);
    let claim = claims.get(&format!("{}-data", shop.name)).await.expect("the claim of the Shop");
    let volume = claim.spec.and_then(|spec| spec.volume_name).expect("it is bound");
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get(&volume).await.expect("its volume");
    let path = volume.spec.and_then(|spec| spec.host_path).expect("a volume of the local cluster").path;
    let root = std::env::var("CLOUDSHOP_NODE_ROOT").expect("CLOUDSHOP_NODE_ROOT names the node's files");
    PathBuf::from(root).join(path.trim_start_matches('/'))
}
