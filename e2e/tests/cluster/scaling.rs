//! The autoscaler has its way.

use std::time::{Duration, Instant};

use e2e::cluster::{Share, Shop, in_namespace};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::runtime::wait::await_condition;
use load::ledger::Ledger;
use load::run::Rates;
use serde_json::json;

use crate::traffic::{Traffic, assert_no_failure};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn web_pods_follow_the_load_up_and_down_and_the_operator_lets_them() {
    in_namespace(Share::Alone, "scaling", async |namespace| {
        let mut spec = namespace.small_shop();
        spec["web"]["autoscaling"] = json!({"minReplicas": 1, "maxReplicas": 3, "targetCpuUtilization": 60});
        spec["web"]["resources"] = json!({"requests": {"cpu": "20m"}});
        let shop = Shop::ready(&namespace, "corner", &spec).await;
        let deployments: Api<Deployment> = Api::namespaced(namespace.client.clone(), &namespace.name);
        let scaled = async |what: &str, limit: u64, enough: fn(i32) -> bool| {
            let began = Instant::now();
            let reached = await_condition(deployments.clone(), "corner-web", |deployment: Option<&Deployment>| {
                let status = deployment.and_then(|deployment| deployment.status.as_ref());
                status.and_then(|status| status.ready_replicas).is_some_and(enough)
            });
            let reached = tokio::time::timeout(Duration::from_secs(limit), reached).await;
            reached.unwrap_or_else(|_| panic!("not {what} within {limit} s")).expect("the watch goes on");
            println!("{what} after {:.0} s", began.elapsed().as_secs_f64());
        };
        let rates = Rates { searches: 600.0, adds: 0.0, submits: 0.0 };
        let traffic = Traffic::start(&shop, rates, Ledger::none()).await;
        scaled("three web pods", 120, |ready| ready == 3).await;

        // A change of the Shop, and so a reconcile, in the middle of it leaves the number alone.
        spec["worker"]["autoscaling"]["targetCpuUtilization"] = json!(70);
        shop.apply(&spec).await.expect("accepted");
        shop.wait_ready(Duration::from_secs(30)).await;
        let web = deployments.get("corner-web").await.expect("the Deployment");
        assert_eq!(web.spec.replicas, Some(3), "the operator left the autoscaler's number");
        let managers = web.metadata.managed_fields.unwrap_or_default();
        let replicas_of = |manager: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry| {
            let fields = manager.fields_v1.as_ref().map(|fields| fields.0["f:spec"]["f:replicas"].is_object());
            fields.unwrap_or(false).then(|| manager.manager.clone().unwrap_or_default())
        };
        let owners: Vec<String> = managers.iter().filter_map(replicas_of).collect();
        assert!(!owners.iter().any(|owner| owner.contains("cloudshop")), "who sets the number: {owners:?}");

        assert_no_failure("while web scaled up", &traffic.end().await);
        scaled("one web pod", 180, |ready| ready == 1).await;
        shop.wait_ready(Duration::from_secs(30)).await;
    })
    .await;
}
