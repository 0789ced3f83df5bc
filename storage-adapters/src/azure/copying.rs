//! Copies within a container. Does I/O through the SDK.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{
    credentials::TokenCredential,
    error::ErrorKind as SdkKind,
    http::{
        Context, Request,
        headers::HeaderName,
        policies::{Policy, PolicyResult},
    },
};
use azure_storage_blob::models::{
    BlobClientStartCopyFromUrlOptions, BlobClientStartCopyFromUrlResultHeaders, CopyStatus,
};

use super::{
    blobs::{ContainerBlobs, etag_of, version_of},
    errors::{Answer, Task},
    identity::SCOPE,
    reading,
};
use crate::{
    blob::{GetOptions, Key, PutMode, Version},
    error::{ErrorKind, Result},
};

/// Most bytes that the service copies while we wait
/// (<https://learn.microsoft.com/rest/api/storageservices/copy-blob-from-url#remarks>).
pub(super) const COPIED_AT_ONCE: u64 = 256 * 1024 * 1024;

const COPY_SOURCE: HeaderName = HeaderName::from_static("x-ms-copy-source");
const COPY_SOURCE_AUTHORIZATION: HeaderName = HeaderName::from_static("x-ms-copy-source-authorization");
const REQUIRES_SYNC: HeaderName = HeaderName::from_static("x-ms-requires-sync");

impl ContainerBlobs {
    /// Copies a blob of one state: within the service, or through this process when it is too large for that.
    pub(super) async fn copy_if_absent(&self, from: &Key, to: &Key, copied_at_once: u64) -> Result<Version> {
        let subject = format!("{from} to {to}");
        let (look, copy) = (Task::repeatable("copy", subject.clone()), Task::uncertain("copy", subject));
        loop {
            let (info, metadata) = self.look(from, None, &look).await?;
            if info.size > copied_at_once {
                let options = GetOptions { if_version: Some(info.version), range: None };
                let body = match reading::get(self, from, options).await {
                    Ok(blob) => blob.body,
                    Err(error) if error.kind() == ErrorKind::Conflict => continue,
                    Err(error) => return Err(error),
                };
                return self.put_in_blocks(to, body, &metadata, &PutMode::IfAbsent).await;
            }
            // Without metadata of its own the copy gets that of the source.
            let options = BlobClientStartCopyFromUrlOptions {
                if_none_match: Some("*".into()),
                source_if_match: Some(etag_of(&info.version)),
                ..Default::default()
            };
            let copied = self.blob(to).start_copy_from_url(self.blob(from).url().to_string(), Some(options)).await;
            let copied = match copied {
                Ok(copied) => copied,
                // It was replaced or deleted meanwhile: another look tells which.
                Err(fault) if is_of_source(&fault) => continue,
                Err(fault) => return Err(copy.sdk(fault)),
            };
            if copied.copy_status().ok().flatten() != Some(CopyStatus::Success) {
                return Err(copy.explain(ErrorKind::Unknown, "the service did not say that the copy is complete"));
            }
            return copied.etag().ok().flatten().as_ref().map(version_of).ok_or_else(|| copy.incomplete("version"));
        }
    }
}

fn is_of_source(fault: &azure_core::Error) -> bool {
    let sources = ["SourceConditionNotMet", "CannotVerifyCopySource"];
    let answer = Answer::of(fault);
    answer.is_some_and(|answer| sources.iter().any(|code| answer.is(412, code) || answer.is(404, code)))
}

/// Makes each copy one that the service ends before it answers: another kind would show a part of the copy to readers. Of an
/// identity the service also wants to see that it may read the source.
#[derive(Debug)]
pub(super) struct WholeCopies(pub(super) Option<Arc<dyn TokenCredential>>);

#[async_trait]
impl Policy for WholeCopies {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        if request.headers().get_optional_str(&COPY_SOURCE).is_some() {
            request.insert_header(REQUIRES_SYNC, "true");
            if let Some(identity) = &self.0 {
                let token = identity.get_token(&[SCOPE], None).await?;
                request.insert_header(COPY_SOURCE_AUTHORIZATION, format!("Bearer {}", token.token.secret()));
            }
        }
        let end = || azure_core::Error::with_message(SdkKind::Other, "the last policy is the transport");
        let (policy, next) = next.split_first().ok_or_else(end)?;
        policy.send(context, request, next).await
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use futures::TryStreamExt;

    use super::*;
    use crate::{
        azure::{fixture, opening::Clients},
        blob::{BlobStore, Metadata},
        conformance::emulators,
    };

    #[tokio::test]
    async fn a_blob_too_large_for_the_service_is_copied_through_this_process() {
        let config = fixture::config(emulators::azure(), None);
        fixture::create(&config).await;
        let clients = Clients::new(&config, &fixture::variables(), &Arc::default()).await.expect("good settings");
        let blobs = ContainerBlobs::new(clients.container);
        let (from, to) = (Key::new("from").expect("a key"), Key::new("to").expect("a key"));
        let (body, metadata) = (Bytes::from(vec![7; 9 << 20]), Metadata::from([("a".into(), "1".into())]));
        blobs.put(&from, body.clone(), &metadata, PutMode::IfAbsent).await.expect("put");
        let version = blobs.copy_if_absent(&from, &to, 1 << 20).await.expect("copy");
        let copy = blobs.get(&to, GetOptions::default()).await.expect("get");
        assert_eq!((copy.info.version, copy.metadata), (version, metadata));
        assert!(copy.body.try_collect::<BytesMut>().await.expect("the body") == body);
        let again = blobs.copy_if_absent(&from, &to, 1 << 20).await.expect_err("it is there");
        assert_eq!(again.kind(), ErrorKind::Conflict);
    }
}
