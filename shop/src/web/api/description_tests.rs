use std::collections::BTreeSet;

use super::parts;
use crate::web::route::Route;

#[test]
fn the_description_is_what_was_reviewed() {
    insta::assert_json_snapshot!(serde_json::to_value(parts().1).expect("writes"));
}

#[test]
fn the_description_names_exactly_the_routes_of_the_api() {
    let (_, description) = parts();
    let described: BTreeSet<_> = description
        .paths
        .paths
        .iter()
        .flat_map(|(path, item)| {
            [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)]
                .into_iter()
                .filter(|(_, operation)| operation.is_some())
                .map(move |(method, _)| (method, path.clone()))
        })
        .collect();
    let counted: BTreeSet<_> = Route::ALL
        .iter()
        .filter(|route| route.template().starts_with("/api/v1/"))
        .map(|route| (route.method(), route.template().to_owned()))
        .collect();
    assert_eq!(described, counted, "metrics and limits know every route");
}

#[test]
fn every_error_of_the_description_is_a_problem() {
    let description = serde_json::to_value(parts().1).expect("writes");
    for (path, operations) in description["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            for (status, response) in operation["responses"].as_object().expect("responses") {
                let kinds: Vec<_> = response["content"].as_object().expect("content").keys().collect();
                let kind = if status.starts_with('2') { "application/json" } else { "application/problem+json" };
                assert_eq!(kinds, [kind], "{method} {path} {status}");
            }
        }
    }
}
