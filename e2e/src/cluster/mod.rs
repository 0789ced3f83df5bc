//! Shops on a real cluster: the cluster that `KUBECONFIG` names, with the operator installed from the chart.

pub mod connection;
pub mod contents;
mod cut;
mod kubectl;
mod namespace;
mod node;
mod operator;
pub mod pods;
pub mod policies;
mod provider;
pub mod recorder;
pub mod shop;
mod store;
mod turn;

pub use cut::{Cut, Way, servers_of};
pub use kubectl::{helm, kubectl, kubectl_with_input};
pub use namespace::{TestNamespace, in_namespace};
pub use node::{kill_container, pause_container, resume_container, tag_image};
pub use operator::{CHART, MANIFEST, OPERATOR_NAMESPACE, RELEASE, images, install_operator, kill_operator};
pub use shop::{Shop, embedded};
pub use store::{verify_store, volume_folder};
pub use turn::Share;
