//! A new catalogue for a shop that sells.

use std::fmt::Write;
use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, in_namespace, kubectl_with_input};
use e2e::wait::until;
use load::ledger::Ledger;
use load::run::Rates;

use crate::traffic::{Traffic, assert_no_failure};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn an_import_into_a_worker_reaches_every_web_pod_in_5_seconds_without_a_failed_request() {
    in_namespace(Share::Together, "catalogue", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let api = shop.api().await;
        let rates = Rates { searches: 50.0, adds: 0.0, submits: 0.0 };
        let traffic = Traffic::start(&shop, rates, Ledger::none()).await;
        let mut csv = "sku,name,price,category\n".to_owned();
        for number in 0..1_200 {
            writeln!(csv, "IMP-{number},Imported Lamp {number},{}.50,Lamps", number + 1).expect("a string takes it");
        }
        let worker = "deploy/corner-worker";
        let exec =
            ["exec", "--stdin", "--namespace", &namespace.name, worker, "--", "/shop", "catalogue", "import", "-"];
        let options = ["--format", "csv", "--currency", "EUR", "--config", "/etc/cloudshop/shop.toml"];
        kubectl_with_input(&[&exec[..], &options].concat(), &csv).await.expect("imported");
        let imported = Instant::now();
        // Connections go to all web pods in turn, so ten full lists in a row are from both.
        let mut in_a_row = 0;
        until("every web pod has the new catalogue", Duration::from_secs(5), async || {
            let products = api.get("/api/v1/search?q=IMP-7").await;
            in_a_row = if products["items"][0]["sku"] == "IMP-7" { in_a_row + 1 } else { 0 };
            if in_a_row >= 10 { Ok(()) } else { Err(products.to_string()) }
        })
        .await;
        println!("the new catalogue was served after {:.1} s", imported.elapsed().as_secs_f64());
        assert_eq!(api.products(100).await.len(), 1_200);
        assert_no_failure("while the catalogue changed", &traffic.end().await);

        let wrong = "sku,name,price,category\nA,Good,1.00,C\nA,Twice,2.00,C\n";
        let refused = kubectl_with_input(&[&exec[..], &options].concat(), wrong).await.expect_err("refused");
        assert!(refused.contains('3'), "the fault's line is named: {refused}");
        assert_eq!(api.products(100).await.len(), 1_200);
    })
    .await;
}
