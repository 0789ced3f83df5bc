//! What keeps this process from being ready, shared by everything in it. No I/O.

use std::sync::Arc;

use shop_contract::status::{Waiting, WaitingReason};
use storage_adapters::config::Provider;
use tokio::sync::watch;

/// The list of what the process waits for; clones share it. It begins with [`WaitingReason::Starting`].
#[derive(Clone, Debug)]
pub struct Readiness {
    list: Arc<watch::Sender<Vec<(Part, Waiting)>>>,
    part: Part,
}

/// Whose store a reason is about; none when it is about the process.
type Part = Option<Provider>;

impl Readiness {
    /// A process that has only begun.
    #[must_use]
    pub fn starting() -> Self {
        let starting = Waiting { reason: WaitingReason::Starting, message: "the process has only begun".to_owned() };
        Self { list: Arc::new(watch::Sender::new(vec![(None, starting)])), part: None }
    }

    /// The same list, for what has reasons of its own for each store.
    #[must_use]
    pub fn of(&self, store: Provider) -> Self {
        Self { part: Some(store), ..self.clone() }
    }

    /// Adds a thing to wait for; one that is waited for already gets the new message.
    pub fn wait_for(&self, reason: WaitingReason, message: impl Into<String>) {
        let message = message.into();
        let is_it = |(part, waiting): &&mut (Part, Waiting)| *part == self.part && waiting.reason == reason;
        self.list.send_if_modified(|list| match list.iter_mut().find(is_it) {
            Some((_, waiting)) if waiting.message == message => false,
            Some((_, waiting)) => {
                waiting.message = message;
                true
            }
            None => {
                list.push((self.part, Waiting { reason, message }));
                true
            }
        });
    }

    /// Takes a thing off the list; nothing happens when it is not on it.
    pub fn clear(&self, reason: WaitingReason) {
        self.list.send_if_modified(|list| {
            let before = list.len();
            list.retain(|(part, waiting)| *part != self.part || waiting.reason != reason);
            list.len() != before
        });
    }

    /// The list; empty when the process is ready.
    #[must_use]
    pub fn waiting(&self) -> Vec<Waiting> {
        self.list.borrow().iter().map(|(_, waiting)| waiting.clone()).collect()
    }

    /// Whether the process waits for nothing.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// Waits until the list is empty.
    pub async fn ready(&self) {
        // The sender lives as long as `self`, so the channel cannot close meanwhile.
        let _ = self.list.subscribe().wait_for(Vec::is_empty).await;
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
    fn reasons_of_one_store_are_cleared_for_it_alone() {
        let readiness = Readiness::starting();
        let part = readiness.of(Provider::Aws);
        part.wait_for(WaitingReason::Starting, "as well");
        readiness.clear(WaitingReason::Starting);
        assert_eq!(readiness.waiting().len(), 1);
        part.clear(WaitingReason::Starting);
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
