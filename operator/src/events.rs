//! The events that tell how a Shop changed, from its status before and after. No I/O.

use kube::runtime::events::{Event, EventType};

use crate::{
    api::{Condition, ConditionStatus, ShopStatus},
    conditions::ConditionType,
    validate::ValidatedShop,
};

/// What the events are about, in the Events API's words.
const ACTION: &str = "Reconcile";

/// The events that the step from one status to the next is worth.
#[must_use]
pub fn events(shop: Option<&ValidatedShop>, before: &ShopStatus, after: &ShopStatus) -> Vec<Event> {
    let mut events = Vec::new();
    if before.conditions.is_empty() && shop.is_some() {
        events.push(event(EventType::Normal, "Created", "the shop's objects are created"));
    }
    if before.store_initialised != Some(true) && after.store_initialised == Some(true) {
        events.push(if shop.is_some_and(|shop| shop.storage.adopt_existing) {
            event(EventType::Normal, "StoreAdopted", "the store and the data found in it are this Shop's now")
        } else {
            event(EventType::Normal, "StoreInitialised", "the store is set up; it is never set up again")
        });
    }
    let changed = |kind: ConditionType| {
        let new = find(after, kind)?;
        let old = find(before, kind);
        let same = old.is_some_and(|old| old.status == new.status && old.reason == new.reason);
        (!same).then_some((old, new))
    };
    if let Some((_, ready)) = changed(ConditionType::Ready)
        && ready.status == ConditionStatus::True
    {
        events.push(event(EventType::Normal, "Ready", &ready.message));
    }
    if let Some((_, degraded)) = changed(ConditionType::Degraded)
        && degraded.status == ConditionStatus::True
    {
        events.push(event(EventType::Warning, &degraded.reason, &degraded.message));
    }
    if let Some((_, switching)) = changed(ConditionType::Switching) {
        events.push(event(EventType::Normal, &switching.reason, &switching.message));
    }
    if let Some((Some(_), paused)) = changed(ConditionType::ReconciliationPaused) {
        events.push(event(EventType::Normal, &paused.reason, &paused.message));
    }
    events
}

fn find(status: &ShopStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.kind == kind.as_str())
}

fn event(kind: EventType, reason: &str, note: &str) -> Event {
    // The Events API takes notes of up to 1 KiB.
    let note = note.chars().take(250).collect();
    Event { type_: kind, reason: reason.to_owned(), note: Some(note), action: ACTION.to_owned(), secondary: None }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
