use std::{future::pending, time::Duration};

use axum::{
    http::{StatusCode, header},
    routing::{get, post},
};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;

use super::*;

/// Most that telling a client to come back may take.
const SHED_WITHIN: Duration = Duration::from_millis(5);

fn request(method: &str, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn what_is_too_much_is_told_to_come_back_in_5_ms_while_the_catalogue_goes_on() {
    let router = Router::new()
        .route("/api/v1/orders", post(async || pending::<()>().await))
        .route("/api/v1/products", get(async || "products"));
    let most = 3;
    let concurrency = Concurrency { orders: most, ..Concurrency::default() };
    let metrics = Metrics::register(&mut Registry::default());
    let mut service = around(router, None, "Corner".into(), metrics, concurrency);
    let mut waiting = JoinSet::new();
    for _ in 0..most {
        let mut service = service.clone();
        waiting.spawn(async move { service.call(request("POST", "/api/v1/orders")).await });
    }
    tokio::task::yield_now().await;
    let mut took = Vec::new();
    for _ in 0..101 {
        let asked = Instant::now();
        let answer = service.call(request("POST", "/api/v1/orders")).await.expect("an answer");
        took.push(asked.elapsed());
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
    }
    took.sort_unstable();
    assert!(took[50] < SHED_WITHIN, "{:?}", took[50]);
    let products = service.call(request("GET", "/api/v1/products")).await.expect("an answer");
    assert_eq!(products.status(), StatusCode::OK);
    waiting.shutdown().await;
    let answer = tokio::time::timeout(Duration::from_millis(20), service.call(request("POST", "/api/v1/orders")));
    assert!(answer.await.is_err(), "whoever goes away makes room, so this one is let in and waits");
}
