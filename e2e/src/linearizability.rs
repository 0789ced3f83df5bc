//! Whether what happened to one order can be told as one thing after the other: each command and each read at one moment
//! between its question and its answer. The order that it is held to is written here once more, apart from the shop's own.
//! No I/O.
//!
//! The search is that of Wing and Gong with Lowe's memory of what was tried
//! (<https://www.cs.ox.ac.uk/people/gavin.lowe/LinearizabiltyTesting/>). The checker of the `stateright` crate has no such
//! memory: on histories of 170 questions, ten of them without an answer, it did not end within minutes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked of an order that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Put pieces of a product on it.
    Add(&'static str, u64),
    /// Change how many pieces of a product are on it.
    Set(&'static str, u64),
    /// Take a product off it.
    Remove(&'static str),
    /// Buy it.
    Submit,
    /// The shop takes it on.
    Confirm,
    /// Look at it.
    Read,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The order, as it is after a command.
    Order(OrderState),
    /// The code of a refusal.
    Refused(String),
}

/// An order, as far as answers tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderState {
    /// Counts its changes.
    pub version: u64,
    /// `open`, `submitted` or `confirmed`.
    pub status: String,
    /// Pieces by product.
    pub lines: BTreeMap<String, u64>,
}

impl OrderState {
    /// An order that was just made.
    fn new() -> Self {
        Self { version: 1, status: "open".to_owned(), lines: BTreeMap::new() }
    }

    fn change(&mut self, question: &Question) -> Result<(), &'static str> {
        let wanted = if *question == Question::Confirm { "submitted" } else { "open" };
        match question {
            Question::Read => return Ok(()),
            _ if self.status != wanted => return Err("order_closed"),
            Question::Add(sku, pieces) => *self.lines.entry((*sku).to_owned()).or_default() += pieces,
            Question::Set(sku, pieces) => *self.lines.get_mut(*sku).ok_or("not_found")? = *pieces,
            Question::Remove(sku) => drop(self.lines.remove(*sku).ok_or("not_found")?),
            Question::Submit if self.lines.is_empty() => return Err("order_empty"),
            Question::Submit => "submitted".clone_into(&mut self.status),
            Question::Confirm => "confirmed".clone_into(&mut self.status),
        }
        self.version += 1;
        Ok(())
    }

    /// What comes back, and the order after it.
    fn ask(&self, question: &Question) -> (Self, Reply) {
        let mut next = self.clone();
        match next.change(question) {
            Ok(()) => (next.clone(), Reply::Order(next)),
            Err(code) => (self.clone(), Reply::Refused(code.to_owned())),
        }
    }
}

/// What happened, in the order in which it did.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client asked.
    Asked(u64, Question),
    /// Its answer came.
    Answered(u64, Reply),
    /// Its question is known to have had no effect.
    NotDone(u64),
    /// Nobody knows what became of its question: it may take effect at any time, or never. The client asks nothing more.
    Unknown(u64),
}

/// A question with its time, as indices of events.
struct Operation<'a> {
    asked: usize,
    /// When its answer came, and which; none for a question that may take effect at any time later, or never.
    answered: Option<(usize, &'a Reply)>,
    question: &'a Question,
}

/// Whether the events of one order, from its creation on, are linearizable.
#[must_use]
pub fn is_linearizable(events: &[Event]) -> bool {
    let operations = operations(events);
    let mut tried = BTreeSet::new();
    let mut to_try = vec![(BTreeSet::new(), OrderState::new())];
    while let Some((done, state)) = to_try.pop() {
        let open = || operations.iter().enumerate().filter(|(index, _)| !done.contains(index));
        let Some(first_answer) = open().filter_map(|(_, operation)| Some(operation.answered?.0)).min() else {
            return true;
        };
        if !tried.insert((done.clone(), state.clone())) {
            continue;
        }
        // What was asked after an answer cannot have come before it.
        for (index, operation) in open().filter(|(_, operation)| operation.asked < first_answer) {
            let (next, reply) = state.ask(operation.question);
            if operation.answered.is_none_or(|(_, answered)| *answered == reply) {
                let mut done = done.clone();
                done.insert(index);
                to_try.push((done, next));
            }
        }
    }
    false
}

/// The questions that may have had an effect.
fn operations(events: &[Event]) -> Vec<Operation<'_>> {
    let mut open = BTreeMap::new();
    let mut operations = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let ended = match event {
            Event::Asked(client, question) => {
                let before = open.insert(*client, Operation { asked: index, answered: None, question });
                assert!(before.is_none(), "client {client} asks one thing after the other");
                continue;
            }
            Event::Answered(client, reply) => {
                open.remove(client).map(|operation| Operation { answered: Some((index, reply)), ..operation })
            }
            Event::Unknown(client) => open.remove(client),
            Event::NotDone(client) => {
                open.remove(client);
                None
            }
        };
        operations.extend(ended);
    }
    operations.extend(open.into_values());
    // The last is tried first: what was answered first. What nobody answered is tried when nothing else fits.
    operations.sort_by_key(|operation| Reverse(operation.answered.map_or(usize::MAX, |(at, _)| at)));
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(version: u64, pieces: u64) -> Reply {
        let lines = if pieces == 0 { BTreeMap::new() } else { [("A".to_owned(), pieces)].into() };
        Reply::Order(OrderState { version, status: "open".to_owned(), lines })
    }

    #[test]
    fn commands_at_the_same_time_may_have_either_order() {
        let events = [
            Event::Asked(1, Question::Add("A", 1)),
            Event::Asked(2, Question::Add("A", 2)),
            Event::Answered(1, order(3, 3)),
            Event::Answered(2, order(2, 2)),
        ];
        assert!(is_linearizable(&events));
    }

    #[test]
    fn a_read_of_an_old_state_is_found_out() {
        let mut events = vec![Event::Asked(1, Question::Add("A", 1)), Event::Asked(2, Question::Read)];
        events.extend([Event::Answered(2, order(1, 0)), Event::Answered(1, order(2, 1))]);
        assert!(is_linearizable(&events), "they were at the same time");
        events.extend([Event::Asked(2, Question::Read), Event::Answered(2, order(1, 0))]);
        assert!(!is_linearizable(&events), "the add had been answered");
    }

    #[test]
    fn a_command_that_takes_effect_twice_or_after_it_was_not_done_is_found_out() {
        let twice = [Event::Asked(1, Question::Add("A", 1)), Event::Answered(1, order(3, 2))];
        assert!(!is_linearizable(&twice));
        let read = |reply| [Event::Asked(2, Question::Read), Event::Answered(2, reply)];
        let asked = [Event::Asked(1, Question::Add("A", 1)), Event::NotDone(1)];
        assert!(!is_linearizable(&[&asked[..], &read(order(2, 1))].concat()));
        assert!(is_linearizable(&[&asked[..], &read(order(1, 0))].concat()));
    }

    #[test]
    fn what_nobody_knows_may_take_effect_late_or_never() {
        let read = |reply| [Event::Asked(2, Question::Read), Event::Answered(2, reply)];
        let asked = [Event::Asked(1, Question::Add("A", 1)), Event::Unknown(1)];
        assert!(is_linearizable(&[&asked[..], &read(order(1, 0)), &read(order(2, 1))].concat()));
        assert!(!is_linearizable(&[&asked[..], &read(order(2, 1)), &read(order(1, 0))].concat()));
    }
}
