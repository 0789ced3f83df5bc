//! The side of the adapters: a store as the shop opens it, with all decorators. Does I/O through the ports.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use storage_adapters::{BlobInfo, GetOptions, Key, Metadata, PutMode, Receipt, Store};

use super::side::{Delivery, LEASE, MESSAGES, Outcome, Side};

pub(crate) struct Adapter(pub(crate) Store);

#[async_trait]
impl Side for Adapter {
    async fn put(&self, key: &str, body: Bytes) -> Outcome<()> {
        self.0.blobs.put(&Key::new(key)?, body, &Metadata::new(), PutMode::IfAbsent).await?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Outcome<usize> {
        let blob = self.0.blobs.get(&Key::new(key)?, GetOptions::default()).await?;
        let length = blob.body.try_fold(0, async |length, piece| Ok(length + piece.len()));
        Ok(length.await?)
    }

    async fn list(&self, prefix: &str) -> Outcome<usize> {
        let found: Vec<BlobInfo> = self.0.blobs.list(prefix, None).try_collect().await?;
        Ok(found.len())
    }

    async fn send(&self, pack: Bytes) -> Outcome<()> {
        Ok(self.0.queue.send(pack).await?)
    }

    async fn receive(&self) -> Outcome<Vec<Delivery>> {
        let messages = self.0.queue.receive(MESSAGES, LEASE, Duration::ZERO).await?;
        let deliveries = messages.into_iter().map(|message| Delivery {
            message: String::new(),
            right: message.receipt.0,
            length: message.body.len(),
        });
        Ok(deliveries.collect())
    }

    async fn ack(&self, delivery: Delivery) -> Outcome<()> {
        Ok(self.0.queue.ack(&Receipt(delivery.right)).await?)
    }
}
