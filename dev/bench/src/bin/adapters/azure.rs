//! Azure: the settings of the adapter, and the bare SDKs of Blob and Queue Storage. Does network I/O.
//!
//! The SDKs' own transport is `reqwest`, which no program of the project builds them with; here they get one that is made
//! of the same crate.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{
    error::ErrorKind,
    http::{
        AsyncRawResponse, Body, ClientOptions, HttpClient, Request, RequestContent, Transport, Url, headers::Headers,
    },
};
use azure_storage_blob::{
    BlobContainerClient, BlobContainerClientOptions,
    models::{BlobClientUploadOptions, BlobContainerClientListBlobsOptions},
};
use azure_storage_queue::{
    QueueClient, QueueClientOptions,
    models::{QueueClientReceiveMessagesOptions, QueueMessage},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::TryStreamExt;
use storage_adapters::config::{AzureConfig, AzureCredentials, Endpoint};

use super::{
    ADAPTERS_STORE, BARE_STORE,
    side::{Delivery, LEASE, MESSAGES, Outcome, Side},
    variable,
};

/// The settings of the adapter.
pub(crate) fn config() -> Outcome<AzureConfig> {
    let (blob, queue) = (variable("AZURE_BLOB_ENDPOINT")?.parse()?, variable("AZURE_QUEUE_ENDPOINT")?.parse()?);
    Ok(AzureConfig {
        account: variable("AZURE_STORAGE_ACCOUNT")?,
        container: ADAPTERS_STORE.to_owned(),
        queue: ADAPTERS_STORE.to_owned(),
        endpoint: Some(Endpoint { blob: Some(blob), queue: Some(queue), ..Endpoint::default() }),
        credentials: AzureCredentials::Environment,
    })
}

/// The SDKs with their own defaults, but for the transport.
pub(crate) struct Bare {
    container: BlobContainerClient,
    queue: QueueClient,
}

impl Bare {
    pub(crate) fn open() -> Outcome<Self> {
        let signature = variable("AZURE_STORAGE_SAS_TOKEN")?;
        let address = |endpoint| -> Outcome<Url> {
            Ok(format!("{}/{BARE_STORE}?{signature}", variable(endpoint)?.trim_end_matches('/')).parse()?)
        };
        let wire: Arc<dyn HttpClient> = Arc::new(Reqwest(reqwest::Client::new()));
        let client_options = ClientOptions { transport: Some(Transport::new(wire)), ..ClientOptions::default() };
        let options = BlobContainerClientOptions { client_options: client_options.clone(), ..Default::default() };
        let container = BlobContainerClient::new(address("AZURE_BLOB_ENDPOINT")?, None, Some(options))?;
        let options = QueueClientOptions { client_options, ..Default::default() };
        let queue = QueueClient::new(address("AZURE_QUEUE_ENDPOINT")?, None, Some(options))?;
        Ok(Self { container, queue })
    }
}

#[async_trait]
impl Side for Bare {
    async fn put(&self, key: &str, body: Bytes) -> Outcome<()> {
        let options = BlobClientUploadOptions { if_none_match: Some("*".into()), ..Default::default() };
        self.container.blob_client(key).upload(body.into(), Some(options)).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Outcome<usize> {
        let found = self.container.blob_client(key).download(None).await?;
        Ok(found.body.collect().await?.len())
    }

    async fn list(&self, prefix: &str) -> Outcome<usize> {
        let options = BlobContainerClientListBlobsOptions { prefix: Some(prefix.to_owned()), ..Default::default() };
        let mut pages = self.container.list_blobs(Some(options))?.into_pages();
        let mut found = Vec::new();
        while let Some(page) = pages.try_next().await? {
            found.append(&mut page.into_model()?.blob_items);
        }
        Ok(found.len())
    }

    async fn send(&self, pack: Bytes) -> Outcome<()> {
        // Queue Storage takes text alone.
        let message = QueueMessage { message_text: Some(BASE64_STANDARD.encode(&pack)) };
        let message: RequestContent<_, _> = message.try_into()?;
        self.queue.send_message(message, None).await?;
        Ok(())
    }

    async fn receive(&self) -> Outcome<Vec<Delivery>> {
        let options = QueueClientReceiveMessagesOptions {
            number_of_messages: Some(MESSAGES.try_into()?),
            visibility_timeout: Some(LEASE.as_secs().try_into()?),
            ..Default::default()
        };
        let found = self.queue.receive_messages(Some(options)).await?.into_model()?;
        let mut deliveries = Vec::new();
        for message in found.items.unwrap_or_default() {
            deliveries.push(Delivery {
                message: message.message_id.ok_or("a message has no id")?,
                right: message.pop_receipt.ok_or("a message has no receipt")?,
                length: BASE64_STANDARD.decode(message.message_text.unwrap_or_default())?.len(),
            });
        }
        Ok(deliveries)
    }

    async fn ack(&self, delivery: Delivery) -> Outcome<()> {
        self.queue.delete_message(&delivery.message, &delivery.right, None).await?;
        Ok(())
    }
}

/// The transport.
#[derive(Debug)]
struct Reqwest(reqwest::Client);

#[async_trait]
impl HttpClient for Reqwest {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let other = |fault| azure_core::Error::with_error(ErrorKind::Other, fault, "the request cannot be made");
        let Body::Bytes(body) = request.body() else {
            return Err(azure_core::Error::with_message(ErrorKind::Other, "nothing here is streamed"));
        };
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())
            .map_err(|fault| azure_core::Error::with_error(ErrorKind::Other, fault, "an unknown method"))?;
        let mut sent = self.0.request(method, request.url().clone());
        for (name, value) in request.headers().iter() {
            sent = sent.header(name.as_str(), value.as_str());
        }
        let sent = sent.body(body.clone()).build().map_err(other)?;
        let broken = |fault| azure_core::Error::with_error(ErrorKind::Io, fault, "the request got no answer");
        let answer = self.0.execute(sent).await.map_err(broken)?;
        let status = answer.status().as_u16().into();
        let mut headers = Headers::new();
        for (name, value) in answer.headers() {
            if let Ok(value) = value.to_str() {
                headers.insert(name.as_str().to_owned(), value.to_owned());
            }
        }
        Ok(AsyncRawResponse::new(status, headers, Box::pin(answer.bytes_stream().map_err(broken))))
    }
}
