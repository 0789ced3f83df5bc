//! The name of every object of a Shop, in one place. No I/O.

use crate::validate::ShopName;

/// Longest name of a Shop. The longest name made from it is that of a pod, `NAME-worker-HASH-ID`, whose host name has
/// at most 63 characters: `-worker-` 8, hash 10, `-` 1, id 5 leave 39.
pub const MAX_SHOP_NAME: usize = 39;

/// Names of the objects of one Shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    shop: ShopName,
}

impl Names {
    /// The names of the objects of the Shop called `shop`.
    #[must_use]
    pub fn new(shop: ShopName) -> Self {
        Self { shop }
    }

    /// The Shop itself, and its Service and Ingress.
    #[must_use]
    pub fn shop(&self) -> &str {
        self.shop.as_str()
    }

    /// Deployment, autoscaler, disruption budget, network policy and service account of the web pods.
    #[must_use]
    pub fn web(&self) -> String {
        self.with("web")
    }

    /// Deployment, autoscaler, disruption budget, network policy and service account of the worker pods.
    #[must_use]
    pub fn worker(&self) -> String {
        self.with("worker")
    }

    /// `ConfigMap` with the pods' config.
    #[must_use]
    pub fn config(&self) -> String {
        self.with("config")
    }

    /// Secret with the token of the internal API.
    #[must_use]
    pub fn token(&self) -> String {
        self.with("token")
    }

    /// Claim of the Embedded store's volume.
    #[must_use]
    pub fn data(&self) -> String {
        self.with("data")
    }

    /// Network policy that denies what no other one allows.
    #[must_use]
    pub fn default_deny(&self) -> String {
        self.with("default-deny")
    }

    fn with(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.shop.as_str())
    }
}
