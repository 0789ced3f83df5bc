//! Errors as text, and what the API server said in them. No I/O.

use std::error::Error;

use kube::core::Status;

/// An error with its causes, on one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    for error in causes(error) {
        // The API server's own words, without the object they came in, say all.
        let answer = answer(error);
        let next = answer.map_or_else(|| error.to_string(), |status| status.message.clone());
        if !text.contains(&next) {
            let separator = if text.is_empty() { "" } else { ": " };
            text = format!("{text}{separator}{next}");
        }
        if answer.is_some() {
            break;
        }
    }
    text
}

/// Whether the API server refused since the namespace is being deleted, and all in it: no failure of anybody.
#[must_use]
pub fn namespace_ends(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(answer).any(|status| {
        let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
        causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    })
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What the API server answered, when this error is its answer.
fn answer<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Status> {
    let error =
        error.downcast_ref::<kube::Error>().or_else(|| error.downcast_ref::<Box<kube::Error>>().map(AsRef::as_ref));
    match error {
        Some(kube::Error::Api(status)) => Some(status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use kube::core::response::{StatusCause, StatusDetails};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("Service corner could not be applied")]
    struct ApplyError(#[source] Box<kube::Error>);

    fn refused(cause: &str) -> ApplyError {
        let cause = StatusCause { reason: cause.into(), message: String::new(), field: String::new() };
        let details = StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: vec![cause],
            retry_after_seconds: 0,
        };
        let status =
            Status::failure("services \"corner\" is forbidden", "Forbidden").with_code(403).with_details(details);
        ApplyError(Box::new(kube::Error::Api(status.boxed())))
    }

    #[test]
    fn what_the_api_server_said_stands_in_the_text_once_and_without_the_object_around_it() {
        let text = chain(&refused("Quota"));
        assert_eq!(text, "Service corner could not be applied: services \"corner\" is forbidden");
    }

    #[test]
    fn a_namespace_that_is_being_deleted_is_told_from_other_refusals() {
        assert!(namespace_ends(&refused("NamespaceTerminating")));
        assert!(!namespace_ends(&refused("Quota")));
    }
}
