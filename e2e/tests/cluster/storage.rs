//! A store that is exchanged, belongs to another, or is full.

use std::path::Path;
use std::time::{Duration, Instant};

use e2e::api::{Ask, assert_problem, text};
use e2e::cluster::contents::{Contents, has_new_database};
use e2e::cluster::{Share, Shop, embedded, in_namespace, verify_store, volume_folder};
use e2e::wait::until;
use hyper::Method;
use load::catalogue;
use load::commands::Command;
use load::http::Call;
use load::ledger::Ledger;
use load::run::new_key;
use load::shoppers::{Life, live};
use serde_json::{Value, json};

use crate::traffic::commands;

/// The size of the small volume: room for a shop, and little to fill up.
const SMALL: &str = "96Mi";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn an_emptied_store_is_named_and_never_served_as_an_empty_shop() {
    in_namespace(Share::Together, "emptied", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let api = shop.api().await;
        let order = api.create(&new_key()).await;
        // What the store holds goes while the shop is running, and all pods start anew.
        let contents = Contents::take_away(&shop).await;
        shop.delete_all_pods().await;
        let message = shop.wait_reason("Ready", "StoreEmpty", Duration::from_secs(90)).await;
        println!("an emptied store: {message}");
        // The pods that were ended go on for a moment; then nothing is ready, and nobody answers.
        until("the shop answers nothing", Duration::from_mins(1), async || {
            match api.client.send(Call::get("/api/v1/products?limit=1")).await {
                Err(_) => Ok(()),
                Ok(answer) if answer.status == 503 => Ok(()),
                Ok(answer) => Err(text(&answer)),
            }
        })
        .await;
        assert!(!has_new_database(&shop).await);

        contents.bring_back(&shop).await;
        shop.delete_all_pods().await;
        shop.wait_ready(Duration::from_secs(90)).await;
        assert_eq!(shop.api().await.order(&order).await["id"], order.as_str());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_queue_of_another_cloud_that_cannot_be_used_is_named_and_keeps_no_shop_from_selling() {
    in_namespace(Share::Together, "lacking", async |namespace| {
        let mut spec = embedded();
        spec["storage"]["azure"] = json!({
            "account": "cornershop",
            "container": "shop",
            "queue": "shop",
            "credentials": {"secretName": "nowhere"},
        });
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let message = shop.wait_reason("Degraded", "Lacking", Duration::from_mins(1)).await;
        println!("a queue that cannot be used: {message}");
        assert!(message.contains("no way out of a partition"), "{message}");
        shop.api().await.create(&new_key()).await;
        shop.wait_ready(Duration::from_secs(1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_size_that_the_cluster_refuses_holds_up_nothing_else_and_can_be_taken_back() {
    in_namespace(Share::Together, "sizes", async |namespace| {
        let mut spec = embedded();
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let before = shop.pod_uids().await;
        // Volumes of the local cluster cannot grow.
        spec["storage"]["embedded"]["volumeClaim"]["size"] = json!("2Gi");
        spec["web"]["resources"]["requests"]["memory"] = json!("72Mi");
        spec["worker"]["resources"]["requests"]["memory"] = json!("72Mi");
        shop.apply(&spec).await.expect("accepted");
        let message = shop.wait_reason("Degraded", "ApplyFailed", Duration::from_secs(30)).await;
        assert!(message.contains("corner-data") && message.contains("resize"), "{message}");
        shop.all_replaced(&before).await;
        shop.api().await.create(&new_key()).await;
        spec["storage"]["embedded"]["volumeClaim"]["size"] = json!("1Gi");
        shop.apply(&spec).await.expect("the size that the volume has");
        shop.wait_ready(Duration::from_mins(1)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_full_disk_refuses_commands_loses_nothing_and_passes_by_itself() {
    in_namespace(Share::Together, "full", async |namespace| {
        let mut spec = embedded();
        spec["storage"]["embedded"]["volumeClaim"] = json!({"size": SMALL, "storageClassName": "tiny"});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let api = shop.api().await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        let commands = commands(&shop, ledger.clone()).await;
        let products = catalogue::products(&commands.client).await.expect("the catalogue");
        let life =
            Life { shoppers: 20, most_adds: 5, pause: Duration::ZERO, patience: Duration::from_secs(30), seed: 23 };
        let before = live(&commands, &products, &life).await.expect("no panic");
        assert!(before.iter().all(|lived| lived.end.is_ok()), "{before:#?}");

        let filler = volume_folder(&shop).await.join("filler");
        fill(&filler);
        // Creates find out that there is no room; the submit of an order that is not there shows it and leaves nothing.
        let nothing = "/api/v1/orders/0198c2f0-0000-8000-8000-000000000000/submit";
        let refused = until("commands are refused for the full disk", Duration::from_mins(1), async || {
            commands.send(Command::Create, new_key()).await;
            let answer = api.ask_once(Ask::bare(Method::POST, nothing)).await;
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            if answer.status == 503 && body["code"] == "disk_full" { Ok(answer) } else { Err(text(&answer)) }
        })
        .await;
        assert_problem("a full disk", &refused, 503, "disk_full");
        assert!(refused.headers.contains_key("retry-after"));
        assert_eq!(api.products(100).await.len(), 1_000, "the catalogue is in memory");
        let full =
            live(&commands, &products, &Life { patience: Duration::from_secs(2), ..life }).await.expect("no panic");
        assert!(full.iter().all(|lived| lived.end.is_err()), "nobody buys on a full disk: {full:#?}");

        std::fs::remove_file(&filler).expect("room is made");
        let began = Instant::now();
        let after = live(&commands, &products, &Life { seed: 29, ..life }).await.expect("no panic");
        let failed: Vec<_> = after.iter().filter_map(|lived| lived.end.as_ref().err()).collect();
        assert!(failed.is_empty(), "{failed:#?}");
        println!("with room again, 20 orders were confirmed within {:.1} s", began.elapsed().as_secs_f64());
        ledger.flush().expect("written");
        let config = shop.delete().await;
        assert!(verify_store(&shop, &config, Some(&path)).await >= 40);
    })
    .await;
}

/// Fills a file system to its last byte.
fn fill(file: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(file).expect("a file");
    for block in [1 << 20, 4096, 1] {
        let bytes = vec![0x5a_u8; block];
        while file.write_all(&bytes).is_ok() {}
    }
    // What the file system could not take is reported here; the rest is on it.
    let _ = file.sync_all();
}
