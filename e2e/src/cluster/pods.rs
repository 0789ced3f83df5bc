//! The pods of a shop.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};

use super::shop::Shop;
use crate::process::is_error;
use crate::wait::until;

impl Shop {
    fn pods_api(&self) -> Api<Pod> {
        Api::namespaced(self.namespace.client.clone(), &self.namespace.name)
    }

    fn query(&self, component: Option<&str>) -> ListParams {
        let mut labels = format!("app.kubernetes.io/name=cloudshop,app.kubernetes.io/instance={}", self.name);
        if let Some(component) = component {
            labels = format!("{labels},app.kubernetes.io/component={component}");
        }
        ListParams::default().labels(&labels)
    }

    /// Its pods that are not on their way out; of `web`, of `worker`, or all.
    pub async fn pods(&self, component: Option<&str>) -> Vec<Pod> {
        let mut pods = self.pods_with_ending(component).await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// Its pods, with those on their way out.
    pub async fn pods_with_ending(&self, component: Option<&str>) -> Vec<Pod> {
        self.pods_api().list(&self.query(component)).await.expect("a list of pods").items
    }

    /// Deletes all pods at once, without waiting.
    pub async fn delete_all_pods(&self) {
        self.pods_api()
            .delete_collection(&DeleteParams::default(), &self.query(None))
            .await
            .expect("the pods are deleted");
    }

    /// Deletes one pod, without waiting.
    pub async fn delete_pod(&self, pod: &Pod) {
        self.pods_api().delete(&name_of(pod), &DeleteParams::default()).await.expect("the pod is deleted");
    }

    /// Waits until no pod of the shop is left.
    pub async fn without_pods(&self, limit: Duration) {
        let pods = self.pods_api();
        until("no pod is left", limit, async || {
            let left = pods.list(&self.query(None)).await.map_err(|error| error.to_string())?.items;
            if left.is_empty() { Ok(()) } else { Err(format!("{:?}", left.iter().map(name_of).collect::<Vec<_>>())) }
        })
        .await;
    }

    /// Waits until no pod of the shop mounts its volume.
    pub async fn without_volume(&self, limit: Duration) {
        until("no pod mounts the volume", limit, async || {
            let mut mounting = self.pods_with_ending(None).await;
            mounting.retain(|pod| {
                let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
                volumes.is_some_and(|volumes| volumes.iter().any(|volume| volume.persistent_volume_claim.is_some()))
            });
            if mounting.is_empty() {
                Ok(())
            } else {
                Err(format!("{:?}", mounting.iter().map(name_of).collect::<Vec<_>>()))
            }
        })
        .await;
    }

    /// The UIDs of its pods, with those on their way out.
    pub async fn pod_uids(&self) -> Vec<String> {
        self.pods_with_ending(None).await.iter().filter_map(|pod| pod.metadata.uid.clone()).collect()
    }

    /// Waits until the pods with these UIDs are gone to the last.
    pub async fn all_replaced(&self, before: &[String]) {
        until("every pod is a new one", Duration::from_mins(2), async || {
            let left = self.pod_uids().await.into_iter().filter(|uid| before.contains(uid)).count();
            if left == 0 { Ok(()) } else { Err(format!("{left} old pods")) }
        })
        .await;
    }

    /// Waits until each of its pods has noted this.
    pub async fn until_all_noted(&self, what: &str) {
        until(what, Duration::from_mins(1), async || {
            for pod in self.pods(None).await {
                let logs = self.pods_api().logs(&name_of(&pod), &kube::api::LogParams::default()).await;
                if !logs.map_err(|error| error.to_string())?.contains(what) {
                    return Err(format!("{} did not note it", name_of(&pod)));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Checks that none of its pods noted an error.
    pub async fn assert_no_error_logged(&self) {
        for pod in self.pods(None).await {
            let logs = self.pods_api().logs(&name_of(&pod), &kube::api::LogParams::default()).await.expect("logs");
            let errors: Vec<&str> = logs.lines().filter(|line| is_error(line)).collect();
            assert!(errors.is_empty(), "{} logged as errors: {errors:#?}", name_of(&pod));
        }
    }
}

/// The name of a pod.
#[must_use]
pub fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().expect("a pod has a name")
}
