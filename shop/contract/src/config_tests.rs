use storage_adapters::config::{EmbeddedConfig, StorageConfig};

use super::*;

fn config() -> ShopConfig {
    ShopConfig {
        format: FORMAT,
        shop: ShopIdentity {
            name: "corner".into(),
            namespace: "shops".into(),
            uid: "0c1d".into(),
            initialise: true,
            adopt_existing: false,
        },
        orders: OrdersConfig { shards: 4 },
        on_partition: OnPartitionConfig { carts: OnPartition::Availability, submit: OnPartition::Consistency },
        catalogue: CatalogueConfig { sample: true },
        internal: InternalConfig { token_file: "/etc/cloudshop/token/token".into() },
        storage: StorageConfig::from(EmbeddedConfig { path: "/var/lib/cloudshop".into() }),
    }
}

#[test]
fn what_the_operator_renders_is_what_a_pod_parses() {
    let text = config().render().expect("renders");
    assert_eq!(ShopConfig::parse(&text).expect("parses"), config());
}

#[test]
fn a_rendered_config_reads_well() {
    insta::assert_snapshot!(config().render().expect("renders"));
}

#[test]
fn a_format_of_another_build_is_refused_by_name() {
    let text = config().render().expect("renders").replace("format = 1", "format = 2\nunheard_of = true");
    let error = ShopConfig::parse(&text).expect_err("refused");
    assert!(error.to_string().contains("format 2"), "{error}");
}

#[test]
fn an_unknown_field_is_refused() {
    let text = config().render().expect("renders").replace("[orders]", "[orders]\nsharts = 3");
    assert!(matches!(ShopConfig::parse(&text), Err(ConfigError::Parse(_))));
}
