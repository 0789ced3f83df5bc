//! What is counted of the public HTTP, with a handle for each series made beforehand. No I/O.

use std::{
    fmt,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use axum::http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::route::{Class, Route};

/// Upper bounds of the buckets of latencies, in seconds; the service levels' limits are among them.
const SECONDS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Classes of status.
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AnswerLabels {
    method: &'static str,
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

/// The public HTTP's metrics.
pub struct Metrics {
    routes: Vec<RouteMetrics>,
    classes: Vec<ClassMetrics>,
}

struct RouteMetrics {
    answers: Vec<Counter>,
    seconds: Histogram,
}

struct ClassMetrics {
    in_flight: Gauge,
    shed: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Makes and registers every series.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let answers = Family::<AnswerLabels, Counter>::default();
        let seconds =
            Family::<RouteLabels, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(SECONDS));
        let in_flight = Family::<ClassLabels, Gauge>::default();
        let shed = Family::<ClassLabels, Counter>::default();
        registry.register("shop_http_requests", "Requests answered, by route and class of status", answers.clone());
        registry.register("shop_http_request_seconds", "Time from request to answer", seconds.clone());
        registry.register("shop_http_in_flight", "Requests being served now", in_flight.clone());
        registry.register("shop_http_shed", "Requests answered 503 because too many were being served", shed.clone());
        let routes = Route::ALL
            .iter()
            .map(|route| {
                let (method, template) = (route.method(), route.template());
                let answers = STATUS_CLASSES
                    .iter()
                    .map(|status| answers.get_or_create_owned(&AnswerLabels { method, route: template, status }));
                RouteMetrics {
                    answers: answers.collect(),
                    seconds: seconds.get_or_create_owned(&RouteLabels { method, route: template }),
                }
            })
            .collect();
        let classes = Class::ALL.iter().map(|class| {
            let labels = ClassLabels { class: class.as_str() };
            ClassMetrics { in_flight: in_flight.get_or_create_owned(&labels), shed: shed.get_or_create_owned(&labels) }
        });
        Self { routes, classes: classes.collect() }
    }

    /// Counts an answer.
    pub(super) fn answered(&self, route: Route, status: StatusCode, took: Duration) {
        let metrics = &self.routes[route as usize];
        let class = usize::from(status.as_u16() / 100).clamp(1, STATUS_CLASSES.len()) - 1;
        metrics.answers[class].inc();
        metrics.seconds.observe(took.as_secs_f64());
    }

    /// Takes one of `most` places of a class until the returned value is dropped; `None`, counted, when all are taken.
    pub(super) fn admit(&self, class: Class, most: i64) -> Option<Admitted<'_>> {
        let metrics = &self.classes[class as usize];
        let in_flight = metrics.in_flight.inner();
        if in_flight.fetch_add(1, Ordering::Relaxed) < most {
            return Some(Admitted(in_flight));
        }
        in_flight.fetch_sub(1, Ordering::Relaxed);
        metrics.shed.inc();
        None
    }
}

/// A request being served.
#[derive(Debug)]
pub(super) struct Admitted<'metrics>(&'metrics AtomicI64);

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_is_done() {
        let metrics = Metrics::register(&mut Registry::default());
        let first = metrics.admit(Class::Orders, 1);
        assert!(first.is_some());
        assert!(metrics.admit(Class::Orders, 1).is_none());
        assert!(metrics.admit(Class::Catalogue, 1).is_some(), "classes do not share places");
        drop(first);
        assert!(metrics.admit(Class::Orders, 1).is_some());
    }

    #[test]
    fn the_series_are_as_many_as_routes_and_never_more() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        metrics.answered(Route::Search, StatusCode::OK, Duration::from_millis(1));
        metrics.answered(Route::Other, StatusCode::NOT_FOUND, Duration::from_millis(1));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encodes");
        let line = r#"shop_http_requests_total{method="GET",route="/api/v1/search",status="2xx"} 1"#;
        assert!(text.contains(line), "{text}");
        let series = text.lines().filter(|line| line.starts_with("shop_http_requests_total{")).count();
        assert_eq!(series, Route::ALL.len() * STATUS_CLASSES.len());
    }
}
