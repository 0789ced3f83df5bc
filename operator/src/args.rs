//! The command line. No I/O.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand};

use crate::build::BuildSettings;

/// Turns Shop resources into running shops.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keeps every Shop of the cluster as its spec asks for.
    Run(RunArguments),
    /// Prints the definition of the resource Shop as YAML.
    Crd,
}

/// How to run.
#[derive(Clone, Debug, Args)]
pub struct RunArguments {
    /// Image of the shop's pods.
    #[arg(long, env = "SHOP_IMAGE")]
    pub shop_image: String,
    /// Whether nodes pull the shop's image: always, if it is not there, or never.
    #[arg(long, env = "SHOP_IMAGE_PULL_POLICY", default_value = "IfNotPresent",
          value_parser = ["Always", "IfNotPresent", "Never"])]
    pub shop_image_pull_policy: String,
    /// Secrets, in each Shop's namespace, to pull the shop's image with; separated by commas.
    #[arg(long, env = "SHOP_IMAGE_PULL_SECRETS", value_delimiter = ',')]
    pub shop_image_pull_secrets: Vec<String>,
    /// Namespace of the operator's own pods, which the shops' network policies let in.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// For how long the load must have been low before pods are taken away, in seconds.
    #[arg(long, env = "SCALE_DOWN_SECONDS", default_value_t = 300,
          value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub scale_down_seconds: u32,
    /// Address of /livez, /readyz and /metrics.
    #[arg(long, env = "OPERATIONS_ADDRESS", default_value = "0.0.0.0:9090")]
    pub operations_address: SocketAddr,
}

impl RunArguments {
    /// What the shops are built with.
    #[must_use]
    pub fn build_settings(&self) -> BuildSettings {
        // Taken apart, so that no flag is forgotten; the address is the operator's own.
        let Self {
            shop_image,
            shop_image_pull_policy,
            shop_image_pull_secrets,
            namespace,
            scale_down_seconds,
            operations_address: _,
        } = self.clone();
        BuildSettings {
            image: shop_image,
            image_pull_policy: shop_image_pull_policy,
            image_pull_secrets: shop_image_pull_secrets.into_iter().filter(|name| !name.is_empty()).collect(),
            operator_namespace: namespace,
            scale_down_seconds,
        }
    }
}
