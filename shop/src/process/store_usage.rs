//! What a process asks of its stores, for its metrics: requests, bytes, and what they cost by the price table. No I/O.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Registry,
};
use storage_adapters::{
    config::{Provider, StorageConfig},
    decorators::{Meter, Operation, Usage, prices},
};

use crate::orders::OtherStore;

/// A meter for each store that a process uses.
#[derive(Clone, Debug)]
pub(super) struct Meters {
    /// Of the shop's own store.
    pub(super) home: Arc<Meter>,
    /// Of the stores beside it.
    pub(super) others: Vec<(StorageConfig, Arc<Meter>)>,
}

#[derive(Debug)]
struct StoreUsage {
    home: Provider,
    meters: Meters,
}

/// Meters whose counts `registry` shows, together.
pub(super) fn register(registry: &mut Registry, storage: &StorageConfig) -> Meters {
    let others = storage.others().map(|other| (other, Arc::default())).collect();
    let meters = Meters { home: Arc::default(), others };
    registry.register_collector(Box::new(StoreUsage { home: storage.provider, meters: meters.clone() }));
    meters
}

impl Meters {
    /// The stores beside the shop's own, not open yet.
    pub(super) fn others(&self) -> Vec<Arc<OtherStore>> {
        let other = |(config, meter): &(StorageConfig, Arc<Meter>)| OtherStore::new(config.clone(), Arc::clone(meter));
        self.others.iter().map(other).map(Arc::new).collect()
    }
}

impl Collector for StoreUsage {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut usage = self.meters.home.snapshot();
        let mut dollars = prices::dollars(self.home, &usage);
        for (config, meter) in &self.meters.others {
            let of_other = meter.snapshot();
            dollars += prices::dollars(config.provider, &of_other);
            for (operation, Usage { requests, bytes }) in of_other {
                let sum = usage.entry(operation).or_default();
                sum.requests += requests;
                sum.bytes += bytes;
            }
        }
        let mut show = |name, help, count: fn(&Usage) -> u64| -> Result<(), fmt::Error> {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (operation, usage) in &usage {
                let labels = [("operation", Operation::name(*operation))];
                ConstCounter::new(count(usage)).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        show("shop_store_requests", "Requests to the shop's stores, by operation", |usage| usage.requests)?;
        show("shop_store_bytes", "Bytes of bodies and packs to and from the shop's stores, by operation", |usage| {
            usage.bytes
        })?;
        let cost = ConstCounter::new(dollars);
        let help = format!("What those requests cost in US dollars by the list prices of {}", prices::AS_OF);
        cost.encode(encoder.encode_descriptor("shop_store_cost_dollars", &help, None, MetricType::Counter)?)
    }
}

#[cfg(test)]
mod tests {
    use storage_adapters::config::{AwsConfig, AwsCredentials, AzureConfig, AzureCredentials};

    use super::*;

    #[test]
    fn metrics_show_requests_bytes_and_cost_of_all_stores_together() {
        let mut registry = Registry::default();
        let aws = AwsConfig {
            region: "eu-central-1".into(),
            bucket: "corner".into(),
            queue: "corner".into(),
            endpoint: None,
            credentials: AwsCredentials::Environment,
        };
        let azure = AzureConfig {
            account: "corner".into(),
            container: "corner".into(),
            queue: "corner".into(),
            endpoint: None,
            credentials: AzureCredentials::Environment,
        };
        let meters = register(&mut registry, &StorageConfig::from(aws).beside(azure.into()));
        meters.home.count_requests(Operation::Put, 2_000);
        meters.home.count_bytes(Operation::Put, 4_096);
        let (other, meter) = &meters.others[0];
        assert_eq!((other.provider, meters.others.len()), (Provider::Azure, 1));
        meter.count_requests(Operation::Send, 25_000);
        meter.count_requests(Operation::Put, 1);
        let cost = prices::dollars(Provider::Aws, &meters.home.snapshot())
            + prices::dollars(Provider::Azure, &meter.snapshot());
        assert!(cost > 0.0);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a text");
        for line in [
            "shop_store_requests_total{operation=\"put\"} 2001",
            "shop_store_requests_total{operation=\"send\"} 25000",
            "shop_store_bytes_total{operation=\"put\"} 4096",
            &format!("shop_store_cost_dollars_total {cost:.4}"),
        ] {
            assert!(text.contains(line), "{line} is not in: {text}");
        }
    }
}
