//! The policy of `docs/clouds` grants what the adapter asks of AWS, and nothing that it does not ask.

use std::collections::BTreeSet;

use serde_json::Value;
use storage_adapters::{Store, config::AwsConfig, conformance::use_everything};

use crate::{
    fixture,
    places::{SecretFolder, config_at, with_secret},
    server::{Request, Server},
    until,
};

const POLICY: &str = include_str!("../../../docs/clouds/aws-policy.json");

/// An action of IAM and the resource that it is done to.
type Privilege = (String, String);

fn privilege(action: &str, resource: &str) -> Privilege {
    (action.to_owned(), resource.to_owned())
}

/// What a request needs, by
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html> and
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html>.
fn needed(request: &Request, made: &AwsConfig) -> Vec<Privilege> {
    if let Some(target) = request.header("x-amz-target") {
        let operation = target.strip_prefix("AmazonSQS.").expect("an operation of SQS");
        // A batch needs what its entries need.
        let action = format!("sqs:{}", operation.trim_end_matches("Batch"));
        return vec![(action, format!("arn:aws:sqs:eu-central-1:123456789012:{}", made.queue))];
    }
    let mut line = request.head.split(' ');
    let (method, target) = (line.next().expect("a method"), line.next().expect("a target"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let resource = format!("arn:aws:s3:::{}", path.trim_matches('/'));
    let is_object = resource.contains('/');
    match method {
        "HEAD" | "GET" if !is_object => vec![privilege("s3:ListBucket", &resource)],
        "HEAD" | "GET" => vec![privilege("s3:GetObject", &resource)],
        "DELETE" if query.contains("uploadId=") => vec![privilege("s3:AbortMultipartUpload", &resource)],
        "DELETE" => vec![privilege("s3:DeleteObject", &resource)],
        "PUT" | "POST" => {
            let source = request.header("x-amz-copy-source").map(|source| format!("arn:aws:s3:::{source}"));
            let read = source.map(|source| privilege("s3:GetObject", &source));
            read.into_iter().chain([privilege("s3:PutObject", &resource)]).collect()
        }
        other => panic!("nobody knows what {other} {target} needs"),
    }
}

/// What the policy grants, with the names of this test in place of its example's. A resource may end in `*`.
fn granted(made: &AwsConfig) -> BTreeSet<Privilege> {
    let policy: Value = serde_json::from_str(POLICY).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements");
    let texts = |value: &Value| match value {
        Value::Array(several) => several.iter().map(|one| one.as_str().expect("a text").to_owned()).collect(),
        one => vec![one.as_str().expect("a text").to_owned()],
    };
    let of_statement = |statement: &Value| {
        assert_eq!(statement["Effect"], "Allow");
        let resource = statement["Resource"].as_str().expect("one resource");
        let name = if resource.contains(":sqs:") { &made.queue } else { &made.bucket };
        let resource = resource.replace("corner-shop", name);
        texts(&statement["Action"]).into_iter().map(move |action| (action, resource.clone())).collect::<Vec<_>>()
    };
    statements.iter().flat_map(of_statement).collect()
}

fn covers((action, resource): &Privilege, (asked, of): &Privilege) -> bool {
    let fits = match resource.strip_suffix('*') {
        Some(start) => of.starts_with(start),
        None => of == resource,
    };
    action == asked && fits
}

#[tokio::test]
async fn the_policy_grants_what_is_asked_for_and_nothing_else() {
    let proxy = Server::before_emulator(|_| false).await;
    let made = fixture::config().await;
    let secret = SecretFolder::new("key");
    let config = with_secret(config_at(&made.bucket, &made.queue, &proxy.url), &secret);
    let Store { blobs, queue } = Store::open(&config.into()).await.expect("the store opens");
    use_everything(&*blobs, &*queue).await;
    // Whoever drops an upload does not wait for its end.
    until("an upload was given up", async || proxy.requests().iter().any(is_end_of_upload)).await;

    let granted = granted(&made);
    let needed: BTreeSet<_> = proxy.requests().iter().flat_map(|request| needed(request, &made)).collect();
    let refused: Vec<_> = needed.iter().filter(|need| !granted.iter().any(|grant| covers(grant, need))).collect();
    assert!(refused.is_empty(), "the policy does not grant {refused:?}");
    let idle: Vec<_> = granted.iter().filter(|grant| !needed.iter().any(|need| covers(grant, need))).collect();
    assert!(idle.is_empty(), "nobody needs {idle:?}");
}

fn is_end_of_upload(request: &Request) -> bool {
    request.is("DELETE") && request.head.contains("uploadId=")
}
