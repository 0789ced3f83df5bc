//! Bodies that arrive in pieces, put together from blocks. Does I/O through the SDK.
//!
//! Blocks lie beside the blob, unseen, until a list of them becomes its body with one request, which also carries the
//! condition. Those of a put that came to nothing are removed by the service, at the latest after a week.

use azure_core::http::RequestContent;
use azure_storage_blob::{
    BlockBlobClient,
    models::{BlockBlobClientCommitBlockListOptions, BlockBlobClientCommitBlockListResultHeaders, BlockLookupList},
};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use uuid::Uuid;

use super::{
    blobs::{Condition, ContainerBlobs, headers_of, put_task, refused_put, version_of},
    errors::{Answer, Task},
};
use crate::{
    blob::{ByteStream, Key, Metadata, PutMode, Version},
    error::{Error, ErrorKind, Result},
};

/// Bytes of a streamed body that are held in memory and sent together. A blob has 50,000 blocks at most
/// (<https://learn.microsoft.com/azure/storage/blobs/scalability-targets>), so a body has 390 GiB at most.
const BLOCK: usize = 8 * 1024 * 1024;

/// A blob in the making.
struct Blocks {
    client: BlockBlobClient,
    names: Vec<Vec<u8>>,
}

impl Blocks {
    fn of(client: BlockBlobClient) -> Self {
        Self { client, names: Vec::new() }
    }

    /// A name that no other writer uses; all have one length, as the service demands.
    fn name(&mut self) -> Vec<u8> {
        let name = Uuid::new_v4().as_bytes().to_vec();
        self.names.push(name.clone());
        name
    }

    /// Makes the blocks the body of the blob.
    async fn commit(self, task: &Task, metadata: &Metadata, mode: &PutMode) -> Result<Version> {
        let list = BlockLookupList { uncommitted: Some(self.names), ..Default::default() };
        let list: RequestContent<_, _> = list.try_into().map_err(|fault| task.sdk(fault))?;
        let Condition { if_match, if_none_match } = Condition::of(mode);
        let options = BlockBlobClientCommitBlockListOptions {
            if_match,
            if_none_match,
            metadata: Some(headers_of(metadata)),
            ..Default::default()
        };
        let put = self.client.commit_block_list(list, Some(options)).await;
        let put = put.map_err(|fault| refused_commit(task, mode, fault))?;
        let etag = put.etag().ok().flatten().ok_or_else(|| task.incomplete("version"))?;
        Ok(version_of(&etag))
    }
}

/// A put that ends removes the blocks of all others in the making, so blocks that are gone tell of another writer.
fn refused_commit(task: &Task, mode: &PutMode, fault: azure_core::Error) -> Error {
    let are_gone = Answer::of(&fault).is_some_and(|answer| answer.is(400, "InvalidBlockList"));
    match mode {
        PutMode::IfAbsent | PutMode::IfVersion(_) if are_gone => task.fail(ErrorKind::Conflict),
        PutMode::Overwrite if are_gone => task.explain(
            ErrorKind::Unavailable,
            "another put of this blob ended meanwhile and removed the blocks of this one; put it again",
        ),
        _ => refused_put(task, mode, fault),
    }
}

impl ContainerBlobs {
    /// Puts a body that arrives in pieces, with one request when it fits one block.
    pub(super) async fn put_in_blocks(
        &self,
        key: &Key,
        mut body: ByteStream,
        metadata: &Metadata,
        mode: &PutMode,
    ) -> Result<Version> {
        // A block that is lost leaves nothing visible.
        let staging = Task::repeatable("put", key.as_str());
        let mut blocks = Blocks::of(self.blob(key).block_blob_client());
        let mut collected = BytesMut::new();
        while let Some(mut piece) = body.try_next().await? {
            while collected.len() + piece.len() > BLOCK {
                collected.extend_from_slice(&piece.split_to(BLOCK - collected.len()));
                self.stage(&mut blocks, collected.split().freeze(), &staging).await?;
            }
            collected.extend_from_slice(&piece);
        }
        if blocks.names.is_empty() {
            return self.put_at_once(key, collected.freeze(), metadata, mode).await;
        }
        if !collected.is_empty() {
            self.stage(&mut blocks, collected.freeze(), &staging).await?;
        }
        blocks.commit(&put_task(key, mode), metadata, mode).await
    }

    async fn stage(&self, blocks: &mut Blocks, bytes: Bytes, task: &Task) -> Result<()> {
        let name = blocks.name();
        let length = bytes.len() as u64;
        let staged = blocks.client.stage_block(&name, length, bytes.into(), None).await;
        staged.map(|_| ()).map_err(|fault| task.sdk(fault))
    }
}
