//! What the operator keeps right.

use std::time::Duration;

use e2e::cluster::{Share, Shop, in_namespace, kubectl};
use e2e::wait::until;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: make test"]
async fn children_deleted_or_edited_by_hand_are_put_right() {
    in_namespace(Share::Together, "children", async |namespace| {
        let shop = Shop::ready(&namespace, "corner", &namespace.small_shop()).await;
        let client = namespace.client.clone();
        let namespaced = namespace.name.as_str();
        let services: Api<Service> = Api::namespaced(client.clone(), namespaced);
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespaced);
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespaced);
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespaced);

        let token = secrets.get("corner-token").await.expect("the token").data;
        let config = maps.get("corner-config").await.expect("the config").data;
        for kind in [
            "service/corner",
            "hpa/corner-web",
            "pdb/corner-worker",
            "networkpolicy/corner-web",
            "serviceaccount/corner-web",
        ] {
            kubectl(&["delete", kind, "--namespace", namespaced, "--wait=false"]).await;
            until(kind, Duration::from_secs(20), async || {
                let found = kubectl(&[
                    "get",
                    kind,
                    "--namespace",
                    namespaced,
                    "--ignore-not-found",
                    "--output",
                    "jsonpath={.metadata.uid} {.metadata.deletionTimestamp}",
                ])
                .await;
                if found.trim().split(' ').count() == 1 && !found.trim().is_empty() { Ok(()) } else { Err(found) }
            })
            .await;
        }
        deployments.delete("corner-web", &DeleteParams::default()).await.expect("deleted");
        until("the Deployment is made again", Duration::from_secs(20), async || {
            let found = deployments.get_opt("corner-web").await.map_err(|error| error.to_string())?;
            let there = found.is_some_and(|found| found.metadata.deletion_timestamp.is_none());
            if there { Ok(()) } else { Err("it is not there".to_owned()) }
        })
        .await;

        // By another manager, as an editor does it.
        let edit = PatchParams::default();
        let ports = json!({"spec": {"selector": {"app.kubernetes.io/component": "nothing"}}});
        services.patch("corner", &edit, &Patch::Merge(&ports)).await.expect("edited");
        until("the Service's selector is put right", Duration::from_secs(20), async || {
            let service = services.get("corner").await.map_err(|error| error.to_string())?;
            let selector = service.spec.and_then(|spec| spec.selector).unwrap_or_default();
            let component = selector.get("app.kubernetes.io/component").cloned();
            if component.as_deref() == Some("web") { Ok(()) } else { Err(format!("{component:?}")) }
        })
        .await;
        let image =
            json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "localhost/nothing:0"}]}}}});
        deployments.patch("corner-web", &edit, &Patch::Strategic(&image)).await.expect("edited");
        let text = json!({"data": {"shop.toml": "nothing = true"}});
        maps.patch("corner-config", &edit, &Patch::Merge(&text)).await.expect("edited");
        until("image and config are put right", Duration::from_secs(20), async || {
            let web = deployments.get("corner-web").await.map_err(|error| error.to_string())?;
            let template = web.spec.template.spec.expect("a pod");
            let image = template.containers[0].image.clone().unwrap_or_default();
            let now = maps.get("corner-config").await.map_err(|error| error.to_string())?.data;
            if now == config && !image.contains("nothing") { Ok(()) } else { Err(format!("{image} {now:?}")) }
        })
        .await;
        shop.wait_ready(Duration::from_secs(90)).await;
        assert_eq!(secrets.get("corner-token").await.expect("the token").data, token, "the token is made once");
        assert_eq!(shop.api().await.products(100).await.len(), 1_000);
    })
    .await;
}
