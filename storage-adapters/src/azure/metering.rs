//! What a request counts as, for its cost: counted where it leaves, since an operation may take several. Pure.

use azure_core::http::{Method, Request};

use super::wire::COPY_SOURCE;
use crate::decorators::Operation;

/// Which of the two services requests go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Blob Storage.
    Blobs,
    /// Queue Storage.
    Queue,
}

/// What a request is billed as.
pub(super) fn operation(service: Service, request: &Request) -> Operation {
    let mut query = request.url().query_pairs();
    let mut asks = |name: &str, value: &str| query.any(|(found, is)| found == name && is == value);
    match (service, request.method()) {
        (Service::Blobs, Method::Get) if asks("comp", "list") => Operation::List,
        (Service::Blobs, Method::Get) => Operation::Get,
        (Service::Blobs, Method::Head) => Operation::Head,
        (Service::Blobs, Method::Delete) => Operation::Delete,
        (Service::Blobs, _) if request.headers().get_optional_str(&COPY_SOURCE).is_some() => Operation::Copy,
        // The blocks of an upload; its end is a put like any other, and costs as much.
        (Service::Blobs, _) if asks("comp", "block") => Operation::PutStream,
        (Service::Blobs, _) => Operation::Put,
        (Service::Queue, Method::Post) => Operation::Send,
        (Service::Queue, Method::Put) => Operation::Extend,
        (Service::Queue, Method::Delete) => Operation::Ack,
        (Service::Queue, Method::Get) if request.url().path().ends_with("/messages") => Operation::Receive,
        // Its properties.
        (Service::Queue, _) => Operation::Depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_counts_as_what_it_is_billed_as() {
        use Service::{Blobs, Queue};
        for (service, method, path, expected) in [
            (Blobs, Method::Get, "c?restype=container&comp=list&prefix=a", Operation::List),
            (Blobs, Method::Get, "c/comp=list", Operation::Get),
            (Blobs, Method::Head, "c/b", Operation::Head),
            (Blobs, Method::Put, "c/b", Operation::Put),
            (Blobs, Method::Put, "c/b?comp=block&blockid=MQ", Operation::PutStream),
            (Blobs, Method::Put, "c/b?comp=blocklist", Operation::Put),
            (Blobs, Method::Delete, "c/b", Operation::Delete),
            (Queue, Method::Post, "q/messages", Operation::Send),
            (Queue, Method::Get, "q/messages?numofmessages=32", Operation::Receive),
            (Queue, Method::Put, "q/messages/id?popreceipt=r", Operation::Extend),
            (Queue, Method::Delete, "q/messages/id?popreceipt=r", Operation::Ack),
            (Queue, Method::Get, "q?comp=metadata", Operation::Depth),
        ] {
            let url = format!("https://a.test/{path}").parse().expect("a URL");
            assert_eq!(operation(service, &Request::new(url, method)), expected, "{method} {path}");
        }
    }

    #[test]
    fn what_the_service_reads_from_another_blob_is_a_copy() {
        let mut request = Request::new("https://a.test/c/b".parse().expect("a URL"), Method::Put);
        request.insert_header(COPY_SOURCE, "https://a.test/c/from");
        assert_eq!(operation(Service::Blobs, &request), Operation::Copy);
    }
}
