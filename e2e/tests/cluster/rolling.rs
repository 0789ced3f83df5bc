//! New pods for old ones, and no shopper notices.

use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, TestNamespace, images, in_namespace, install_operator, tag_image};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::runtime::wait::await_condition;
use load::ledger::Ledger;
use load::report::Report;
use load::run::Rates;
use serde_json::json;

use crate::traffic::{Traffic, assert_available, assert_no_failure};

/// 205 requests a second: as many orders are made as are submitted.
const RATES: Rates = Rates { searches: 150.0, adds: 45.0, submits: 5.0 };

/// Checks that nobody noticed. Beside an emulator, which shares the machine's cores, one in a thousand may have an unknown end.
fn assert_rolled(what: &str, namespace: &TestNamespace, report: &Report) {
    if namespace.store_servers().is_some() {
        assert_available(what, report);
    } else {
        assert_no_failure(what, report);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_changed_field_rolls_all_pods_without_a_failed_request() {
    in_namespace(Share::Alone, "field", async |namespace| {
        let mut spec = namespace.small_shop();
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let before = shop.pod_uids().await;
        let traffic = Traffic::start(&shop, RATES, Ledger::none()).await;
        for tier in ["web", "worker"] {
            spec[tier]["resources"]["requests"]["memory"] = json!("72Mi");
        }
        let began = Instant::now();
        shop.apply(&spec).await.expect("accepted");
        shop.wait_ready(Duration::from_mins(2)).await;
        shop.all_replaced(&before).await;
        println!("all pods replaced after {:.0} s", began.elapsed().as_secs_f64());
        assert_rolled("while the pods rolled", &namespace, &traffic.end().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn a_new_image_tag_rolls_all_pods_without_a_failed_request() {
    in_namespace(Share::Alone, "tag", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let before = shop.pod_uids().await;
        let new = tag_image("next").await;
        let traffic = Traffic::start(&shop, RATES, Ledger::none()).await;
        let began = Instant::now();
        install_operator(&new).await;
        let deployments: Api<Deployment> = Api::namespaced(namespace.client.clone(), &namespace.name);
        for name in ["corner-web", "corner-worker"] {
            let rolled = await_condition(deployments.clone(), name, |deployment: Option<&Deployment>| {
                deployment.is_some_and(|deployment| has_tag(deployment, &new))
            });
            tokio::time::timeout(Duration::from_mins(1), rolled).await.expect("in time").expect("the watch goes on");
        }
        shop.wait_ready(Duration::from_mins(2)).await;
        shop.all_replaced(&before).await;
        println!("all pods of the new tag after {:.0} s", began.elapsed().as_secs_f64());
        let report = traffic.end().await;
        install_operator(&images().1).await;
        assert_rolled("while the new tag came in", &namespace, &report);
    })
    .await;
}

fn has_tag(deployment: &Deployment, tag: &str) -> bool {
    let pod = deployment.spec.template.spec.as_ref();
    let image = pod.and_then(|pod| pod.containers.first()).and_then(|container| container.image.as_deref());
    image.is_some_and(|image| image.ends_with(&format!(":{tag}")))
}
