//! What a process asks of its store, for its metrics: requests, bytes, and what they cost by the price table. No I/O.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter},
    registry::Registry,
};
use storage_adapters::{
    config::Provider,
    decorators::{Meter, Operation, Usage, prices},
};

#[derive(Debug)]
struct StoreUsage {
    provider: Provider,
    meter: Arc<Meter>,
}

/// A meter whose counts `registry` shows.
pub(super) fn register(registry: &mut Registry, provider: Provider) -> Arc<Meter> {
    let meter = Arc::new(Meter::default());
    registry.register_collector(Box::new(StoreUsage { provider, meter: Arc::clone(&meter) }));
    meter
}

impl Collector for StoreUsage {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let usage = self.meter.snapshot();
        let mut show = |name, help, count: fn(&Usage) -> u64| -> Result<(), fmt::Error> {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (operation, usage) in &usage {
                let labels = [("operation", Operation::name(*operation))];
                ConstCounter::new(count(usage)).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        show("shop_store_requests", "Requests to the store, by operation", |usage| usage.requests)?;
        show("shop_store_bytes", "Bytes of bodies and packs to and from the store, by operation", |usage| usage.bytes)?;
        let cost = ConstCounter::new(prices::dollars(self.provider, &usage));
        let help = format!("What those requests cost in US dollars by the list prices of {}", prices::AS_OF);
        cost.encode(encoder.encode_descriptor("shop_store_cost_dollars", &help, None, MetricType::Counter)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_show_requests_bytes_and_cost() {
        let mut registry = Registry::default();
        let meter = register(&mut registry, Provider::Aws);
        meter.count_requests(Operation::Put, 2_000);
        meter.count_bytes(Operation::Put, 4_096);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a text");
        for line in [
            "shop_store_requests_total{operation=\"put\"} 2000",
            "shop_store_bytes_total{operation=\"put\"} 4096",
            "shop_store_cost_dollars_total 0.01",
        ] {
            assert!(text.contains(line), "{line} is not in: {text}");
        }
    }
}
