//! Counts each HTTP request as the operation that it is billed as. No I/O of its own.
//!
//! An operation may take several requests (the parts of an upload), and several may share one (a batch of messages), so
//! they are counted where they leave.

use std::sync::Arc;

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
    orchestrator::HttpRequest,
};

use crate::decorators::{Meter, Operation};

/// A connector whose requests are counted.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) connector: SharedHttpConnector,
    pub(super) meter: Arc<Meter>,
    pub(super) operation: fn(&HttpRequest) -> Operation,
}

impl HttpConnector for Counted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.meter.count_requests((self.operation)(&request), 1);
        self.connector.call(request)
    }
}

/// What a request to S3 is.
pub(super) fn of_s3(request: &HttpRequest) -> Operation {
    let query = request.uri().split_once('?').map_or("", |(_, query)| query);
    let asks = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match request.method() {
        "GET" if asks("list-type") => Operation::List,
        "GET" => Operation::Get,
        "HEAD" => Operation::Head,
        "DELETE" => Operation::Delete,
        _ if request.headers().contains_key("x-amz-copy-source") => Operation::Copy,
        // Beginning, part and end of an upload.
        _ if asks("uploads") || asks("uploadId") => Operation::PutStream,
        _ => Operation::Put,
    }
}

/// What a request to SQS is.
pub(super) fn of_sqs(request: &HttpRequest) -> Operation {
    match request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next()) {
        Some("SendMessage" | "SendMessageBatch") => Operation::Send,
        Some("ReceiveMessage") => Operation::Receive,
        Some("ChangeMessageVisibility" | "ChangeMessageVisibilityBatch") => Operation::Extend,
        Some("DeleteMessage" | "DeleteMessageBatch") => Operation::Ack,
        // Its attributes and its URL.
        _ => Operation::Depth,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_to_s3_counts_as_what_it_is_billed_as() {
        for (method, path, header, expected) in [
            ("GET", "/b?list-type=2&prefix=list-type", None, Operation::List),
            ("GET", "/b/list-type=2?x-id=GetObject", None, Operation::Get),
            ("HEAD", "/b/k", None, Operation::Head),
            ("HEAD", "/b", None, Operation::Head),
            ("PUT", "/b/k?x-id=PutObject", None, Operation::Put),
            ("POST", "/b/k?uploads", None, Operation::PutStream),
            ("PUT", "/b/k?x-id=UploadPart&partNumber=1&uploadId=u", None, Operation::PutStream),
            ("POST", "/b/k?uploadId=u", None, Operation::PutStream),
            ("PUT", "/b/k?x-id=CopyObject", Some("x-amz-copy-source"), Operation::Copy),
            ("PUT", "/b/k?partNumber=1&uploadId=u", Some("x-amz-copy-source"), Operation::Copy),
            ("DELETE", "/b/k?uploadId=u", None, Operation::Delete),
        ] {
            let mut request = HttpRequest::empty();
            request.set_method(method).expect("a method");
            request.set_uri(format!("http://127.0.0.1:1{path}")).expect("a URI");
            if let Some(header) = header {
                request.headers_mut().insert(header, "b/from");
            }
            assert_eq!(of_s3(&request), expected, "{method} {path}");
        }
    }

    #[test]
    fn each_request_to_sqs_counts_as_what_it_is_billed_as() {
        for (target, expected) in [
            ("AmazonSQS.SendMessageBatch", Operation::Send),
            ("AmazonSQS.ReceiveMessage", Operation::Receive),
            ("AmazonSQS.ChangeMessageVisibility", Operation::Extend),
            ("AmazonSQS.DeleteMessage", Operation::Ack),
            ("AmazonSQS.GetQueueAttributes", Operation::Depth),
        ] {
            let mut request = HttpRequest::empty();
            request.headers_mut().insert("x-amz-target", target);
            assert_eq!(of_sqs(&request), expected, "{target}");
        }
    }
}
