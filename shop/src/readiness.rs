//! What keeps this process from being ready, shared by everything in it. No I/O.

use std::sync::Arc;

use shop_contract::status::{Waiting, WaitingReason};
use tokio::sync::watch;

/// The list of what the process waits for; clones share it. It begins with [`WaitingReason::Starting`].
#[derive(Clone, Debug)]
pub struct Readiness(Arc<watch::Sender<Vec<Waiting>>>);

impl Readiness {
    /// A process that has only begun.
    #[must_use]
    pub fn starting() -> Self {
        let starting = Waiting { reason: WaitingReason::Starting, message: "the process has only begun".to_owned() };
        Self(Arc::new(watch::Sender::new(vec![starting])))
    }

    /// Adds a thing to wait for; one that is waited for already gets the new message.
    pub fn wait_for(&self, reason: WaitingReason, message: impl Into<String>) {
        let message = message.into();
        self.0.send_if_modified(|list| match list.iter_mut().find(|waiting| waiting.reason == reason) {
            Some(waiting) if waiting.message == message => false,
            Some(waiting) => {
                waiting.message = message;
                true
            }
            None => {
                list.push(Waiting { reason, message });
                true
            }
        });
    }

    /// Takes a thing off the list; nothing happens when it is not on it.
    pub fn clear(&self, reason: WaitingReason) {
        self.0.send_if_modified(|list| {
            let before = list.len();
            list.retain(|waiting| waiting.reason != reason);
            list.len() != before
        });
    }

    /// The list; empty when the process is ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        self.0.borrow().clone()
    }

    /// Whether the process waits for nothing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Waits until the list is empty.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the channel cannot close meanwhile.
        let _ = self.0.subscribe().wait_for(Vec::is_empty).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_everything_it_waited_for_is_cleared() {
        let readiness = Readiness::starting();
        readiness.wait_for(WaitingReason::CatalogueMissing, "no catalogue");
        readiness.clear(WaitingReason::Starting);
        assert!(!readiness.is_ready());
        readiness.clear(WaitingReason::CatalogueMissing);
        assert!(readiness.is_ready());
    }

    #[test]
    fn a_reason_is_listed_once_with_its_newest_message() {
        let readiness = Readiness::starting();
        readiness.wait_for(WaitingReason::Starting, "still on it");
        let waiting = readiness.waiting();
        assert_eq!(waiting.len(), 1);
        assert_eq!(waiting[0].message, "still on it");
    }
}
