//! One field moves a shop that sells from one provider to another.

use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, in_namespace, kill_container, kill_operator, verify_store};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use load::ledger::Ledger;
use load::report::Report;
use load::run::{Rates, new_key};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::partition::{entries, until_applied};
use crate::traffic::{Traffic, assert_available, join_ledgers, make_orders};

/// As many orders are made as are submitted.
const RATES: Rates = Rates { searches: 200.0, adds: 50.0, submits: 5.0 };

/// Orders that are there before that.
const ORDERS: usize = 5_000;

/// Trade before something moves.
const CALM: Duration = Duration::from_secs(3);

/// Longest until everything is in the other store, and pods that begin there have replaced the others.
const MOVED: Duration = Duration::from_mins(3);

/// Longest from the end of the load until everything that was accepted is applied.
const PERSISTED: Duration = Duration::from_secs(10);

/// People who buy from a shop that has orders already while it moves, and what they were told.
struct Trade {
    folder: TempDir,
    ledger: Ledger,
    traffic: Traffic,
}

impl Trade {
    async fn start(shop: &Shop) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        make_orders(shop, ORDERS, &folder.path().join("made")).await;
        let ledger = Ledger::create(&folder.path().join("bought")).expect("a ledger");
        let traffic = Traffic::start(shop, RATES, ledger.clone()).await;
        sleep(CALM).await;
        Self { folder, ledger, traffic }
    }

    /// Ends it, deletes the shop, and sees that its store holds exactly what was acknowledged.
    async fn end(self, shop: &Shop) -> Report {
        sleep(CALM).await;
        let report = self.traffic.end().await;
        let [made, bought, whole] = ["made", "bought", "ledger"].map(|file| self.folder.path().join(file));
        until_applied(&shop.api().await, &entries(&self.ledger, &bought), PERSISTED).await;
        let config = shop.delete().await;
        join_ledgers(&[&made, &bought], &whole);
        verify_store(shop, &config, Some(&whole)).await;
        report
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_changed_provider_moves_a_selling_shop_to_another_one_and_back() {
    in_namespace(Share::Alone, "switch", async |namespace| {
        let Some(storage) = namespace.storage_to_move().await else {
            println!("not tried: no cloud is emulated here");
            return;
        };
        let mut spec = namespace.small_shop();
        spec["storage"] = storage;
        let home = spec["storage"]["provider"].clone();
        let other = if home == "Azure" { json!("Aws") } else { json!("Azure") };
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let trade = Trade::start(&shop).await;
        spec["storage"]["provider"] = other.clone();
        spec["storage"]["switch"] = json!({"cutOver": "Manual"});
        is_only_copied(&shop, &spec, "1").await;
        spec["storage"]["switch"]["action"] = json!({"switchId": "1", "do": "Proceed"});
        // That it may go on is another wish.
        switch(&shop, &spec, "1", "switches/2/report").await;
        sleep(CALM).await;
        spec["storage"]["provider"] = home;
        spec["storage"]["switch"] = json!({});
        switch(&shop, &spec, "3", "switches/3/report").await;
        let report = trade.end(&shop).await;
        assert_available("while everything moved there and back", &report);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_switch_goes_on_when_workers_a_web_pod_and_the_operator_are_killed_amid_it() {
    in_namespace(Share::Alone, "switch-kill", async |namespace| {
        let mut spec = namespace.small_shop();
        if spec["storage"]["provider"] != "Aws" {
            println!("not tried: both clouds have a part in it when it begins on AWS");
            return;
        }
        spec["storage"] = namespace.storage_to_move().await.expect("both clouds are emulated");
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let trade = Trade::start(&shop).await;
        spec["storage"]["provider"] = json!("Azure");
        spec["storage"]["switch"] = json!({"cutOver": "Manual"});
        is_only_copied(&shop, &spec, "1").await;
        kill_container(&shop.pods(Some("worker")).await[0]).await;
        kill_operator(&namespace.client).await;
        spec["storage"]["switch"]["action"] = json!({"switchId": "1", "do": "Proceed"});
        shop.apply(&spec).await.expect("accepted");
        is_in(&shop, "1", "Azure").await;
        spec["storage"]["provider"] = json!("Aws");
        spec["storage"]["switch"] = json!({});
        shop.apply(&spec).await.expect("accepted");
        shop.wait("the workers were told", MOVED, |shop| {
            let switch = &shop.data["status"]["switch"];
            switch["id"] == "3" && !["Preparing", "Preflight"].iter().any(|early| switch["phase"] == *early)
        })
        .await;
        kill_container(&shop.pods(Some("worker")).await[0]).await;
        kill_container(&shop.pods(Some("web")).await[0]).await;
        is_in(&shop, "3", "Aws").await;
        shop.wait_ready(MOVED).await;
        let report = trade.end(&shop).await;
        let faults: Vec<_> = report.kinds.values().flat_map(|row| &row.faults).collect();
        println!("while programs were killed amid two switches: {faults:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_bucket_that_is_missing_is_named_and_everything_moves_once_it_is_there() {
    in_namespace(Share::Together, "switch-late", async |namespace| {
        let mut spec = namespace.small_shop();
        if spec["storage"]["provider"] != "Azure" {
            println!("not tried: it is from Azure to a bucket of AWS");
            return;
        }
        spec["storage"] = namespace.storage_to_move().await.expect("both clouds are emulated");
        let late = format!("{}-late", namespace.name);
        spec["storage"]["aws"]["bucket"] = json!(late);
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        spec["storage"]["provider"] = json!("Aws");
        shop.apply(&spec).await.expect("accepted");
        let named = shop
            .wait("the next step names the bucket", MOVED, |shop| {
                let next_step = shop.data["status"]["switch"]["nextStep"].as_str().unwrap_or_default();
                next_step.contains("see to this") && next_step.contains(&late)
            })
            .await;
        assert_eq!(named.data["status"]["provider"], "Azure");
        let degraded = shop.wait_reason("Degraded", "Lacking", MOVED).await;
        assert!(degraded.contains(&late), "{degraded}");
        shop.api().await.create(&new_key()).await;
        namespace.make_buckets_beside(&late).await;
        is_in(&shop, "1", "Aws").await;
        shop.api().await.create(&new_key()).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_key_that_opens_nothing_is_named_and_everything_moves_once_the_secret_has_another() {
    in_namespace(Share::Together, "switch-key", async |namespace| {
        let mut spec = namespace.small_shop();
        if spec["storage"]["provider"] != "Aws" {
            println!("not tried: the emulator of Azure is the one that looks at keys");
            return;
        }
        spec["storage"] = namespace.storage_to_move().await.expect("both clouds are emulated");
        let secrets: Api<Secret> = Api::namespaced(namespace.client.clone(), &namespace.name);
        let secret = spec["storage"]["azure"]["credentials"]["secretName"].as_str().expect("a Secret").to_owned();
        let have_key = async |key: &str| {
            let patch = Patch::Merge(json!({"stringData": {"AZURE_STORAGE_KEY": key}}));
            secrets.patch(&secret, &PatchParams::default(), &patch).await.expect("changed");
        };
        let key = std::env::var("AZURE_STORAGE_KEY").expect("the key of the emulator");
        have_key(&format!("{}==", "A".repeat(86))).await;
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        spec["storage"]["provider"] = json!("Azure");
        shop.apply(&spec).await.expect("accepted");
        let named = shop
            .wait("the next step names the store", MOVED, |shop| {
                let next_step = shop.data["status"]["switch"]["nextStep"].as_str().unwrap_or_default();
                next_step.contains("see to this") && next_step.contains("cannot be used")
            })
            .await;
        assert_eq!(named.data["status"]["provider"], "Aws");
        shop.wait_reason("Degraded", "Lacking", MOVED).await;
        shop.api().await.create(&new_key()).await;
        have_key(&key).await;
        is_in(&shop, "1", "Azure").await;
        shop.api().await.create(&new_key()).await;
    })
    .await;
}

/// Changes the provider of a shop whose shards are to wait, and sees that they do.
async fn is_only_copied(shop: &Shop, spec: &Value, id: &str) {
    shop.apply(spec).await.expect("accepted");
    let waits = shop
        .wait("the shards wait to be moved", MOVED, |shop| {
            let switch = &shop.data["status"]["switch"];
            let next_step = switch["nextStep"].as_str().unwrap_or_default();
            switch["id"] == id && switch["phase"] == "Copying" && next_step.contains("do: Proceed")
        })
        .await;
    let status = &waits.data["status"];
    println!("{}", status["switch"]);
    assert_eq!(
        (status["provider"].clone(), &status["switch"]["shardsMoved"]),
        (status["switch"]["from"].clone(), &json!(0))
    );
}

/// Waits until the switch of this id has moved everything to `provider`, and gives the status.
async fn is_in(shop: &Shop, id: &str, provider: &str) -> Value {
    let so = |shop: &DynamicObject| {
        let status = &shop.data["status"];
        status["switch"]["id"] == id && status["switch"]["phase"] == "Completed" && status["provider"] == provider
    };
    shop.wait("everything is in the other store", MOVED, so).await.data["status"].take()
}

/// Changes the provider, or says that it may go on, and waits until the shop's pods serve from there.
async fn switch(shop: &Shop, spec: &Value, id: &str, report: &str) {
    let to = &spec["storage"]["provider"];
    let before = shop.pod_uids().await;
    let began = Instant::now();
    shop.apply(spec).await.expect("accepted");
    let status = &is_in(shop, id, to.as_str().expect("a provider")).await;
    println!("everything is in {to} after {:.1} s: {}", began.elapsed().as_secs_f64(), status["switch"]);
    assert_eq!(status["switch"]["shardsMoved"], status["switch"]["shardsTotal"]);
    assert_eq!(status["switch"]["reportKey"], report);
    for counted in ["bytesCopied", "longestHoldMillis"] {
        assert!(status["switch"][counted].as_u64().is_some_and(|count| count > 0), "{counted}");
    }
    let verification = &status["switch"]["verification"];
    assert_eq!((&verification["result"], &verification["mismatches"]), (&json!("Passed"), &json!(0)));
    assert!(verification["orders"].as_u64().is_some_and(|orders| orders > 0), "{verification}");
    shop.all_replaced(&before).await;
    if status["switch"]["from"] == "Embedded" {
        shop.without_volume(MOVED).await;
    }
    shop.wait_ready(MOVED).await;
    println!("and served from there after {:.1} s", began.elapsed().as_secs_f64());
}
