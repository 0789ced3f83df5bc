//! What is done on the cluster's node itself: this machine. Looks at its processes, ends one, names an image anew.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use super::kubectl::run;
use super::operator::images;

/// Kills the program of a pod as a fault would, with SIGKILL; the pod stays and its container is started again.
pub async fn kill_container(pod: &Pod) {
    signal(pod, "-KILL").await;
}

/// Stops the program of a pod, which then answers nobody, until [`resume_container`].
pub async fn pause_container(pod: &Pod) {
    signal(pod, "-STOP").await;
}

/// Lets the program of a pod go on.
pub async fn resume_container(pod: &Pod) {
    signal(pod, "-CONT").await;
}

async fn signal(pod: &Pod, signal: &str) {
    let uid = pod.metadata.uid.as_deref().expect("a pod has a UID");
    let process = process_of(uid).unwrap_or_else(|| panic!("no program of pod {uid} runs on this machine"));
    run("kill", &[signal, &process.to_string()], "").await.expect("it can be told");
}

/// The number of the process of the shop, or of the operator, in the pod with this UID. The kubelet names a pod's control group
/// after its UID.
fn process_of(uid: &str) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").expect("/proc is there");
    processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).find(|number| {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{number}/{file}")).unwrap_or_default();
        let program = read("cmdline").split('\0').next().map(|program| ["/shop", "/operator"].contains(&program));
        read("cgroup").contains(uid) && program == Some(true)
    })
}

/// Gives the images under test a second tag on the node, and gives that tag.
pub async fn tag_image(suffix: &str) -> String {
    let (registry, tag) = images();
    let new = format!("{tag}-{suffix}");
    let socket = run_folder().join("containerd.sock");
    for image in ["shop", "operator"] {
        let (from, to) = (format!("{registry}/{image}:{tag}"), format!("{registry}/{image}:{new}"));
        let socket = socket.to_str().expect("UTF-8");
        let arguments = ["--address", socket, "--namespace", "k8s.io", "images", "tag", "--force", &from, &to];
        run("ctr", &arguments, "").await.expect("the image is tagged");
    }
    new
}

/// The folder of the cluster, in which its kubeconfig is.
pub(super) fn run_folder() -> PathBuf {
    let kubeconfig = std::env::var("KUBECONFIG").expect("KUBECONFIG names a cluster");
    Path::new(&kubeconfig).parent().expect("it is in a folder").to_owned()
}
