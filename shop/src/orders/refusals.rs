//! How many questions an owner has from here at once: fewer after each that it refuses since it has too much to do, since it
//! would have its hands full with refusing. No I/O.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Questions that an owner may have at once which has refused nothing.
const MOST: f64 = 256.0;

/// How many more it may have after each thing that it did, and after each second.
const FOR_EACH_DONE: f64 = 0.1;
const A_SECOND: f64 = 20.0;

/// How long an owner that has said so is taken to have too much to do.
const OVERLOADED: Duration = Duration::from_secs(1);

/// What is known of owners, by address.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<String, Owner>>);

/// What is known of one.
#[derive(Clone, Copy, Debug)]
struct Owner {
    /// How many more questions it may have now.
    left: f64,
    at: Instant,
    late_at: Option<Instant>,
}

/// A question that an owner has, until this is dropped.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    refusals: &'a Refusals,
    address: &'a str,
    /// Questions that it may have for this one.
    gives_back: f64,
}

impl Refusals {
    /// Asks an owner, unless it would refuse, by all that is known.
    pub(super) fn ask<'a>(&'a self, address: &'a str) -> Option<Asking<'a>> {
        let mut owners = self.owners();
        if !owners.contains_key(address) {
            owners.retain(|_, owner| owner.now().left < MOST || owner.is_overloaded());
            owners.insert(address.to_owned(), Owner { left: MOST, at: Instant::now(), late_at: None });
        }
        let owner = owners.get_mut(address)?;
        *owner = owner.now();
        // One that is only slow, or silent, has as many as there are.
        (owner.left >= 1.0 || !owner.is_overloaded()).then(|| {
            *owner = owner.plus(-1.0);
            Asking { refusals: self, address, gives_back: 1.0 }
        })
    }

    /// An owner said that it has too much to do.
    pub(super) fn late(&self, address: &str) {
        if let Some(owner) = self.owners().get_mut(address) {
            owner.late_at = Some(Instant::now());
        }
    }

    /// Whether an owner has had too much to do until a moment ago.
    pub(super) fn is_overloaded(&self, address: &str) -> bool {
        self.owners().get(address).is_some_and(Owner::is_overloaded)
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Owner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asking<'_> {
    /// The owner did what it was asked, or said why not.
    pub(super) fn done(mut self) {
        self.gives_back = 1.0 + FOR_EACH_DONE;
    }

    /// The owner had too much to do.
    pub(super) fn refused(mut self) {
        self.gives_back = 0.0;
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(owner) = self.refusals.owners().get_mut(self.address) {
            *owner = owner.plus(self.gives_back);
        }
    }
}

impl Owner {
    fn is_overloaded(&self) -> bool {
        self.late_at.is_some_and(|at| at.elapsed() < OVERLOADED)
    }

    fn now(self) -> Self {
        let at = Instant::now();
        let grown = at.saturating_duration_since(self.at).as_secs_f64() * A_SECOND;
        Self { at, ..self.plus(grown) }
    }

    fn plus(self, more: f64) -> Self {
        Self { left: (self.left + more).clamp(-MOST, MOST), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &str = "10.0.0.1:9091";

    /// Asks an owner so often, at once, that has room for so many; how many it did and refused.
    fn asked(refusals: &Refusals, times: usize, room: usize) -> (usize, usize) {
        let asking: Vec<_> = (0..times).map_while(|_| refusals.ask(OWNER)).collect();
        let asked = asking.len();
        for (number, asking) in asking.into_iter().enumerate() {
            if number < room {
                asking.done();
            } else {
                refusals.late(OWNER);
                asking.refused();
            }
        }
        (asked.min(room), asked.saturating_sub(room))
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_refuses_all_is_asked_now_and_then_until_it_does_something_again() {
        let refusals = Refusals::default();
        refusals.ask(OWNER).expect("at first");
        refusals.late(OWNER);
        assert_eq!(asked(&refusals, 1000, 0), (0, 256));
        assert!(refusals.is_overloaded(OWNER) && refusals.ask(OWNER).is_none());
        let another = "10.0.0.2:9091";
        assert!(refusals.ask(another).is_some() && !refusals.is_overloaded(another), "others are asked");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!refusals.is_overloaded(OWNER));
        refusals.late(OWNER);
        assert_eq!(asked(&refusals, 1000, 0), (0, 20));
        tokio::time::advance(Duration::from_secs(1)).await;
        refusals.late(OWNER);
        assert_eq!(asked(&refusals, 1000, 1000), (20, 0));
        for _ in 0..100 {
            asked(&refusals, 1000, 1000);
        }
        assert_eq!(asked(&refusals, 1000, 1000), (256, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_with_room_for_some_is_soon_asked_for_little_more_however_many_wait() {
        let refusals = Refusals::default();
        let (mut done, mut refused) = (0, 0);
        for round in 0..50 {
            tokio::time::advance(Duration::from_millis(100)).await;
            let (did, not) = asked(&refusals, 224, 50);
            if round >= 10 {
                (done, refused) = (done + did, refused + not);
            }
        }
        assert_eq!(done, 40 * 50, "as much as it could");
        assert!((1..=done / 5).contains(&refused), "{refused} refused, {done} done");
    }

    #[tokio::test(start_paused = true)]
    async fn an_owner_that_is_silent_and_never_said_that_it_is_late_has_as_many_as_there_are() {
        let refusals = Refusals::default();
        let asking: Vec<_> = (0..2000).map_while(|_| refusals.ask(OWNER)).collect();
        assert_eq!(asking.len(), 2000);
        drop(asking);
        assert_eq!(asked(&refusals, 1000, 1000), (1000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_were_given_up_count_no_more() {
        let refusals = Refusals::default();
        for _ in 0..1000 {
            drop(refusals.ask(OWNER).expect("one at a time"));
        }
    }
}
