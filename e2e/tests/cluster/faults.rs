//! Programs that are killed while shoppers buy.

use std::time::{Duration, Instant};

use e2e::api::{Api, Ask, json_of};
use e2e::cluster::{Share, Shop, in_namespace, kill_container, verify_store};
use e2e::wait::until;
use hyper::Method;
use k8s_openapi::api::core::v1::Pod;
use load::catalogue;
use load::commands::{Command, Commands};
use load::ledger::{Ledger, Outcome};
use load::run::new_key;
use load::shoppers::{Life, live};

use crate::traffic::commands;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_killed_worker_amid_200_shoppers_loses_nothing_and_doubles_nothing() {
    in_namespace(Share::Together, "kill", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        let commands = commands(&shop, ledger.clone()).await;
        let products = catalogue::products(&commands.client).await.expect("the catalogue");
        let life = Life {
            shoppers: 200,
            most_adds: 6,
            pause: Duration::from_millis(300),
            patience: Duration::from_secs(90),
            seed: 17,
        };
        let shoppers = tokio::spawn(async move { live(&commands, &products, &life).await });
        for (writes, victim) in [(300, 0), (800, 1)] {
            until("the shoppers are at it", Duration::from_mins(1), async || {
                ledger.flush().expect("written");
                let written = std::fs::read_to_string(&path).expect("the ledger").lines().count();
                if written >= writes { Ok(()) } else { Err(format!("{written} writes")) }
            })
            .await;
            let workers = shop.pods(Some("worker")).await;
            kill_container(&workers[victim % workers.len()]).await;
            println!("worker {victim} killed after {writes} writes");
        }
        let lived = shoppers.await.expect("no panic").expect("no panic");
        let failed: Vec<_> = lived.iter().filter_map(|lived| lived.end.as_ref().err()).collect();
        assert!(failed.is_empty(), "{} of 200 shoppers failed: {failed:#?}", failed.len());
        let repeated: u32 = lived.iter().map(|lived| lived.repeated).sum();
        ledger.flush().expect("written");
        println!("200 orders confirmed, {repeated} attempts repeated");

        let config = shop.delete().await;
        assert_eq!(verify_store(&shop, &config, Some(&path)).await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_repeated_create_is_one_order_through_any_web_pod_and_around_a_kill() {
    in_namespace(Share::Together, "repeat", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ledger");
        let ledger = Ledger::create(&path).expect("a ledger");
        let service = commands(&shop, ledger.clone()).await;
        let web = web_apis(&shop).await;
        assert_eq!(web.len(), 2);
        let through = |api: &Api| Commands { client: api.client.clone(), ledger: ledger.clone() };

        let key = new_key();
        let first = created(&through(&web[0]), &key).await;
        assert_eq!(created(&through(&web[1]), &key).await, first, "through the other web pod");
        let answer = web[1].ask(Ask::bare(Method::GET, &format!("/api/v1/orders/{first}"))).await;
        assert_eq!(json_of(&answer)["id"], first.as_str());

        // Sent, and its worker killed: whatever became of the first attempts, the repetitions find one order each.
        let keys: Vec<String> = (0..20).map(|_| new_key()).collect();
        let attempts = keys.iter().map(|key| service.send(Command::Create, key.clone()));
        let workers = shop.pods(Some("worker")).await;
        let (early, ()) = tokio::join!(futures::future::join_all(attempts), async {
            for worker in &workers {
                kill_container(worker).await;
            }
        });
        for (key, early) in keys.iter().zip(early) {
            let late = created(&through(&web[1]), key).await;
            if let Some(early) = early.order {
                assert_eq!(early.id, late, "the order that was answered before the kill");
            }
            assert_eq!(created(&through(&web[0]), key).await, late, "once more");
        }
        ledger.flush().expect("written");
        let config = shop.delete().await;
        assert_eq!(verify_store(&shop, &config, Some(&path)).await, 21);
    })
    .await;
}

/// Creates an order with this key, again and again until it is persisted, and gives its id.
async fn created(commands: &Commands, key: &str) -> String {
    let began = Instant::now();
    until("the order is persisted", Duration::from_secs(30), async || {
        let answered = commands.send(Command::Create, key.to_owned()).await;
        match answered.order {
            // What is in the queue is there as well, but not in the store yet that is verified in the end.
            Some(order) if answered.outcome == Outcome::Acked && order.durability == "persisted" => Ok(order.id),
            _ => Err(format!("{:?} after {:.1} s", answered.fault, began.elapsed().as_secs_f64())),
        }
    })
    .await
}

/// The API of each web pod on its own.
async fn web_apis(shop: &Shop) -> Vec<Api> {
    let address =
        |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone()).expect("a ready pod has one");
    let mut apis = Vec::new();
    for pod in shop.pods(Some("web")).await {
        apis.push(Api::at(&format!("http://{}:8080", address(&pod))).await);
    }
    apis
}
