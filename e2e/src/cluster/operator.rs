//! The operator of the cluster, installed once from the chart with the images under test. Runs `helm`.

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client};
use tokio::sync::OnceCell;

use super::kubectl::helm;
use super::node::kill_container;
use super::turn::Turn;

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "cloudshop-system";
/// Name of the chart's release.
pub const RELEASE: &str = "cloudshop";

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Repository and tag of the images under test.
#[must_use]
pub fn images() -> (String, String) {
    let named = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; see dev/end-to-end.sh"));
    (named("REGISTRY"), named("TAG"))
}

/// The chart, as a test finds it from the folder of its package. A path of the build would be wrong in another clone
/// that shares the target folder.
pub const CHART: &str = "../charts/cloudshop";
/// The manifest of one file, generated from the chart.
pub const MANIFEST: &str = "../charts/install.yaml";

pub(super) async fn ensure_operator() {
    INSTALLED
        .get_or_init(async || {
            let _turn = Turn::to_install().await;
            install_operator(&images().1).await;
        })
        .await;
}

/// Kills the operator's program as a fault would; its container is started again.
pub async fn kill_operator(client: &Client) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let query = ListParams::default().labels("app.kubernetes.io/name=cloudshop-operator");
    for pod in pods.list(&query).await.expect("a list of pods") {
        kill_container(&pod).await;
    }
}

/// Installs the operator with the images of this tag, or moves it there.
pub async fn install_operator(tag: &str) {
    let (registry, _) = images();
    let (registry, tag) = (format!("image.repository={registry}"), format!("image.tag={tag}"));
    let arguments = [
        &["upgrade", RELEASE, CHART, "--install", "--namespace", OPERATOR_NAMESPACE, "--create-namespace"][..],
        &["--set", &registry, "--set", &tag, "--set", "shop.scaleDownSeconds=15", "--wait", "--timeout", "120s"],
    ];
    helm(&arguments.concat()).await;
}
