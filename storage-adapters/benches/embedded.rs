//! Measures the Embedded adapter in a folder of the disk: `cargo bench -p storage-adapters -- FOLDER`.

#![expect(clippy::expect_used, reason = "a benchmark ends when something fails")]

use std::{
    fs::File,
    future::Future,
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use storage_adapters::{GetOptions, Key, Metadata, PutMode, Store, config::EmbeddedConfig};

/// Measures `count` runs of `operation`, `at_once` at a time, and prints a line about them.
#[expect(clippy::print_stdout, reason = "a benchmark reports on its standard output")]
async fn measure<Operation: Future<Output = ()>>(
    name: &str,
    count: usize,
    at_once: usize,
    operation: impl Fn(usize) -> Operation,
) {
    let begun = Instant::now();
    let mut times: Vec<Duration> = stream::iter(0..count)
        .map(|number| {
            let operation = operation(number);
            async move {
                let begun = Instant::now();
                operation.await;
                begun.elapsed()
            }
        })
        .buffer_unordered(at_once)
        .collect()
        .await;
    let total = begun.elapsed();
    times.sort_unstable();
    let at = |permille: usize| times[(times.len() - 1) * permille / 1000].as_secs_f64() * 1e3;
    let rate = count as u128 * 1_000_000 / total.as_micros().max(1);
    println!("{name:<44} {rate:>8}/s   p50 {:>7.3} ms   p99 {:>7.3} ms   max {:>7.3} ms", at(500), at(990), at(1000));
}

/// What a durable write of a small file costs at least, to compare with.
fn write_bare(folder: &Path, number: usize, body: &[u8]) -> std::io::Result<()> {
    let staged = folder.join("bare");
    let mut file = File::create(&staged)?;
    file.write_all(body)?;
    file.sync_data()?;
    std::fs::rename(staged, folder.join(format!("bare-{number}")))?;
    File::open(folder)?.sync_all()
}

fn key(text: impl Into<String>) -> Key {
    Key::new(text).expect("a legal key")
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::tempdir_in(parent).expect("a folder");
    let config = EmbeddedConfig { path: place.path().to_path_buf() }.into();
    let begun = Instant::now();
    let store = Store::open(&config).await.expect("the store opens");
    #[expect(clippy::print_stdout, reason = "a benchmark reports on its standard output")]
    {
        println!("open with probe: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    }
    let (blobs, queue) = (&store.blobs, &store.queue);
    let none = Metadata::new();
    let body = Bytes::from(vec![7; 4096]);

    let bare = async |number| write_bare(place.path(), number, &body).expect("write");
    measure("bare write, sync, rename, sync folder", 1000, 1, bare).await;

    let put = async |name: String, mode| {
        blobs.put(&key(name), body.clone(), &none, mode).await.expect("put");
    };
    measure("put 4 KiB, new key", 1000, 1, |number| put(format!("new/{number:05}"), PutMode::IfAbsent)).await;
    measure("put 4 KiB, new key, 8 at once", 2000, 8, |number| put(format!("more/{number:05}"), PutMode::IfAbsent))
        .await;
    measure("put 4 KiB, replace", 1000, 1, |_| put("same".into(), PutMode::Overwrite)).await;
    measure("put 4 KiB, replace, 8 keys at once", 2000, 8, |number| {
        put(format!("same-{}", number % 8), PutMode::Overwrite)
    })
    .await;
    let get = async |name: String| {
        let blob = blobs.get(&key(name), GetOptions::default()).await.expect("get");
        blob.body.try_for_each(|_| async { Ok(()) }).await.expect("body");
    };
    measure("get 4 KiB", 5000, 1, |number| get(format!("more/{:05}", number % 2000))).await;
    measure("get 4 KiB, 8 at once", 10_000, 8, |number| get(format!("more/{:05}", number % 2000))).await;
    measure("head", 5000, 1, async |number| {
        blobs.head(&key(format!("more/{:05}", number % 2000))).await.expect("head");
    })
    .await;
    measure("list 2,000 keys", 20, 1, async |_| {
        let listed: Vec<_> = blobs.list("more/", None).try_collect().await.expect("list");
        assert_eq!(listed.len(), 2000);
    })
    .await;
    measure("delete", 1000, 1, async |number| {
        blobs.delete(&key(format!("new/{number:05}"))).await.expect("delete");
    })
    .await;
    let large = Bytes::from(vec![7; 64 * 1024 * 1024]);
    measure("put 64 MiB", 3, 1, async |number| {
        blobs.put(&key(format!("large-{number}")), large.clone(), &none, PutMode::IfAbsent).await.expect("put");
    })
    .await;
    measure("get 64 MiB", 3, 1, |number| get(format!("large-{number}"))).await;
    let pack = Bytes::from(vec![7; 1024]);
    let send = async || queue.send(pack.clone()).await.expect("send");
    measure("send 1 KiB", 1000, 1, |_| send()).await;
    measure("send 1 KiB, 8 at once", 2000, 8, |_| send()).await;
    let take = async || {
        for message in queue.receive(10, Duration::from_mins(1), Duration::ZERO).await.expect("receive") {
            queue.ack(&message.receipt).await.expect("ack");
        }
    };
    measure("receive 10 and acknowledge each", 300, 1, |_| take()).await;
}
