//! The port [`Queue`] in a local folder: messages are files, and a lease is a file's name.
//!
//! Every step is one rename or removal by exact name, which only one process can win: from waiting to leased, from one
//! lease to the next, from leased to gone. A receiver whose lease was taken over finds its name gone.

use std::{
    collections::VecDeque,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::{
    clock::{self, MachineLife},
    errors::Task,
    folder::sync_folder,
    message_name::{Leased, Waiting},
    root::{Root, make_folder},
};
use crate::{
    error::{ErrorKind, Result},
    queue::{Depth, MAX_PACK_BYTES, Message, Queue, RETENTION, Receipt, check_lease, check_pack, check_receive},
};

/// How often a receive that waits looks for messages that other processes sent.
const POLL: Duration = Duration::from_millis(100);

/// How often a receiver that finds enough waiting messages looks for ended leases.
const LOOK_FOR_ENDED: Duration = Duration::from_millis(500);

/// Names of waiting messages that one look at the folder remembers, the oldest ones.
const REMEMBERED: usize = 1_000;

/// How a message's file begins; after it its checksum, and then the pack.
const MAGIC: [u8; 8] = *b"CLDSHPM\x01";
const PACK_BEGINS: usize = MAGIC.len() + 4;

/// Messages in a folder.
#[derive(Clone)]
pub(super) struct FolderQueue {
    root: Arc<Root>,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: PathBuf,
    leased: PathBuf,
    damaged: PathBuf,
    life: MachineLife,
    sent: Notify,
    seen: Mutex<Seen>,
}

/// What this process last saw in the folders. Others may have taken it since, which the rename finds out.
#[derive(Default)]
struct Seen {
    waiting: VecDeque<Waiting>,
    ended: VecDeque<Leased>,
    looked_for_ended: Option<Duration>,
}

impl fmt::Debug for FolderQueue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("FolderQueue").field(&self.shared.waiting).finish()
    }
}

impl FolderQueue {
    /// Opens the queue in the folder at `path`, which is made when it is missing.
    pub(super) fn open(root: Arc<Root>, path: &Path) -> io::Result<Self> {
        let part = |name| path.join(name);
        let shared = Shared {
            waiting: part("waiting"),
            leased: part("leased"),
            damaged: part("damaged"),
            life: MachineLife::read()?,
            sent: Notify::new(),
            seen: Mutex::default(),
        };
        for folder in [path, &shared.waiting, &shared.leased, &shared.damaged] {
            make_folder(folder)?;
        }
        sync_folder(path)?;
        sync_folder(path.parent().unwrap_or(path))?;
        Ok(Self { root, shared: Arc::new(shared) })
    }

    async fn run<T: Send + 'static>(
        &self,
        task: &Task,
        work: impl FnOnce(&Self, &Task) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (this, inner) = (self.clone(), task.clone());
        self.root.run(task, move || work(&this, &inner)).await
    }

    fn append(&self, pack: &[u8], task: &Task) -> Result<()> {
        let staged = self.root.staging().file().map_err(|fault| task.os(fault))?;
        let mut bytes = Vec::with_capacity(PACK_BEGINS + pack.len());
        bytes.extend(MAGIC);
        bytes.extend(crc32fast::hash(pack).to_le_bytes());
        bytes.extend(pack);
        staged.write_whole(&bytes).map_err(|fault| task.os(fault))?;
        let name = Waiting::new(Timestamp::now()).name();
        fs::hard_link(staged.path(), self.shared.waiting.join(name)).map_err(|fault| task.os(fault))?;
        sync_folder(&self.shared.waiting).map_err(|fault| task.os_after_commit(fault))
    }

    /// Leases up to `max` messages that can be leased now.
    fn take(&self, max: usize, lease: Duration, task: &Task) -> Result<Vec<Message>> {
        let mut taken = Vec::new();
        while taken.len() < max {
            let Some((folder, name, message)) = self.candidate().map_err(|fault| task.os(fault))? else { break };
            let leased = message.leased(lease, clock::now(), self.shared.life);
            let path = self.shared.leased.join(leased.name());
            if !rename(&folder.join(&name), &path).map_err(|fault| task.os(fault))? {
                continue;
            }
            match self.read(&path, task) {
                Ok(Some(body)) => {
                    let receipt = Receipt(leased.name());
                    taken.push(Message { body, receipt, deliveries: leased.message.deliveries });
                }
                // The lease has ended meanwhile, and another receiver was faster.
                Ok(None) => {}
                Err(error) if taken.is_empty() => {
                    // A damaged message is set aside, so that it is not delivered for ever.
                    if error.kind() == ErrorKind::Corrupt {
                        rename(&path, &self.shared.damaged.join(leased.name())).map_err(|fault| task.os(fault))?;
                    }
                    return Err(error);
                }
                // What was taken before is not lost to this message, which the next receive meets first.
                Err(_) => {
                    rename(&path, &folder.join(name)).map_err(|fault| task.os(fault))?;
                    break;
                }
            }
        }
        Ok(taken)
    }

    /// A message that perhaps can be leased: its folder, its name there, and what the name says.
    fn candidate(&self) -> io::Result<Option<(&Path, String, Waiting)>> {
        let mut seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if seen.looked_for_ended.is_none_or(|last| now.saturating_sub(last) >= LOOK_FOR_ENDED)
            || (seen.waiting.is_empty() && seen.ended.is_empty())
        {
            seen.ended = self.look_for_ended(now)?;
            seen.looked_for_ended = Some(now);
        }
        if let Some(ended) = seen.ended.pop_front() {
            return Ok(Some((&self.shared.leased, ended.name(), ended.message)));
        }
        if seen.waiting.is_empty() {
            seen.waiting = self.look_for_waiting()?;
        }
        Ok(seen.waiting.pop_front().map(|waiting| (&*self.shared.waiting, waiting.name(), waiting)))
    }

    fn look_for_ended(&self, now: Duration) -> io::Result<VecDeque<Leased>> {
        let mut ended = VecDeque::new();
        for name in names(&self.shared.leased)? {
            let Some(leased) = Leased::parse(&name) else { continue };
            if leased.has_ended(now, self.shared.life) {
                if leased.message.is_past(RETENTION, Timestamp::now()) {
                    remove(&self.shared.leased.join(name))?;
                } else {
                    ended.push_back(leased);
                }
            }
        }
        Ok(ended)
    }

    /// The oldest waiting messages.
    fn look_for_waiting(&self) -> io::Result<VecDeque<Waiting>> {
        let mut waiting = Vec::new();
        for name in names(&self.shared.waiting)? {
            let Some(message) = Waiting::parse(&name) else { continue };
            if message.is_past(RETENTION, Timestamp::now()) {
                remove(&self.shared.waiting.join(name))?;
            } else {
                waiting.push(message);
            }
        }
        if waiting.len() > REMEMBERED {
            waiting.select_nth_unstable(REMEMBERED);
            waiting.truncate(REMEMBERED);
        }
        waiting.sort_unstable();
        Ok(waiting.into())
    }

    /// Reads a leased message; absent when it is gone.
    fn read(&self, path: &Path, task: &Task) -> Result<Option<Bytes>> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(fault) => return Err(task.os(fault)),
        };
        let pack = bytes.get(PACK_BEGINS..).filter(|pack| {
            bytes.starts_with(&MAGIC)
                && bytes[MAGIC.len()..PACK_BEGINS] == crc32fast::hash(pack).to_le_bytes()
                && pack.len() <= MAX_PACK_BYTES
        });
        if pack.is_some() {
            return Ok(Some(Bytes::from(bytes).slice(PACK_BEGINS..)));
        }
        let folder = self.shared.damaged.display();
        Err(task
            .explain(ErrorKind::Corrupt, format!("a message does not match its checksum; it is kept in '{folder}'")))
    }

    fn count(&self) -> io::Result<Depth> {
        let now = clock::now();
        let waiting = names(&self.shared.waiting)?.len() as u64;
        let leases: Vec<_> = names(&self.shared.leased)?.iter().filter_map(|name| Leased::parse(name)).collect();
        let ended = leases.iter().filter(|leased| leased.has_ended(now, self.shared.life)).count() as u64;
        Ok(Depth { waiting: waiting + ended, leased: leases.len() as u64 - ended })
    }
}

#[async_trait]
impl Queue for FolderQueue {
    async fn send(&self, pack: Bytes) -> Result<()> {
        check_pack(&pack)?;
        self.run(&Task::new("send", "queue"), move |this, task| this.append(&pack, task)).await?;
        self.shared.sent.notify_one();
        Ok(())
    }

    async fn receive(&self, max: usize, lease: Duration, wait: Duration) -> Result<Vec<Message>> {
        check_receive(max, lease, wait)?;
        let task = Task::new("receive", "queue");
        let until = Instant::now() + wait;
        loop {
            let taken = self.run(&task, move |this, task| this.take(max, lease, task)).await?;
            if !taken.is_empty() || Instant::now() >= until {
                return Ok(taken);
            }
            let next = until.min(Instant::now() + POLL);
            // Either a message of this process, or time to look for those of others.
            let _ = tokio::time::timeout_at(next, self.shared.sent.notified()).await;
        }
    }

    async fn extend(&self, receipt: &Receipt, lease: Duration) -> Result<Receipt> {
        check_lease("extend", lease)?;
        let task = Task::new("extend", "message");
        let leased = Leased::parse(&receipt.0).ok_or_else(|| task.fail(ErrorKind::LeaseLost))?;
        let extend = move |this: &Self, task: &Task| {
            let extended = leased.extended(lease, clock::now(), this.shared.life);
            let path = |leased: &Leased| this.shared.leased.join(leased.name());
            if rename(&path(&leased), &path(&extended)).map_err(|fault| task.os(fault))? {
                Ok(Receipt(extended.name()))
            } else {
                Err(task.fail(ErrorKind::LeaseLost))
            }
        };
        self.run(&task, extend).await
    }

    async fn ack(&self, receipt: &Receipt) -> Result<()> {
        // What is no receipt of ours is as stale as can be.
        let Some(leased) = Leased::parse(&receipt.0) else { return Ok(()) };
        let acknowledge = move |this: &Self, task: &Task| {
            if remove(&this.shared.leased.join(leased.name())).map_err(|fault| task.os(fault))? {
                sync_folder(&this.shared.leased).map_err(|fault| task.os_after_commit(fault))?;
            }
            Ok(())
        };
        self.run(&Task::new("ack", "message"), acknowledge).await
    }

    async fn depth(&self) -> Result<Depth> {
        self.run(&Task::new("depth", "queue"), |this, task| this.count().map_err(|fault| task.os(fault))).await
    }
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Renames a file to a name nobody else uses; false when it is gone.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    is_found(fs::rename(from, to))
}

/// Removes a file; false when it is gone.
fn remove(path: &Path) -> io::Result<bool> {
    is_found(fs::remove_file(path))
}

fn is_found(outcome: io::Result<()>) -> io::Result<bool> {
    match outcome {
        Ok(()) => Ok(true),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(fault),
    }
}
