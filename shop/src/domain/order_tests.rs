use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{IdempotencyKey, OrderIdSecret};

fn id() -> OrderId {
    OrderId::derive(&OrderIdSecret::new([1; 32]), &key(0))
}

fn key(number: u128) -> IdempotencyKey {
    IdempotencyKey::from_uuid(Uuid::from_u128(number))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn sku(text: &str) -> Sku {
    text.parse().expect("a SKU")
}

fn quantity(pieces: u32) -> Quantity {
    pieces.try_into().expect("a quantity")
}

fn add(text: &str, pieces: u32, amount: i64) -> Command {
    Command::AddItem {
        sku: sku(text),
        name: format!("product {text}"),
        quantity: quantity(pieces),
        unit_price: Money { amount, currency: Currency::EUR },
        catalogue_version: 1,
    }
}

/// An order with what is kept of its commands, as a shard holds both.
#[derive(Clone, Debug, Default, PartialEq)]
struct Stored {
    order: Option<Order>,
    commands: BTreeMap<IdempotencyKey, CommandRecord>,
    next_key: u128,
}

impl Stored {
    fn created() -> Self {
        let mut stored = Self::default();
        stored.give(Command::Create { currency: Currency::EUR }).expect("created");
        stored
    }

    fn give(&mut self, command: Command) -> Result<(), Refusal> {
        let key = key(self.next_key);
        self.next_key += 1;
        self.request(&Request::new(key, command), 10)
    }

    fn request(&mut self, request: &Request, second: i64) -> Result<(), Refusal> {
        let seen = self.commands.get(&request.key);
        match apply(id(), self.order.as_ref(), seen, request, at(second)) {
            Decision::Apply { order, record } => {
                self.order = Some(order);
                self.commands.insert(request.key.clone(), record);
                Ok(())
            }
            Decision::Refuse { order, record, refusal } => {
                self.order = Some(order);
                self.commands.insert(request.key.clone(), record);
                Err(refusal)
            }
            Decision::Keep { order, refusal } => {
                self.order = Some(order);
                Err(refusal)
            }
            Decision::Replay(Outcome::Applied { .. }) => Ok(()),
            Decision::Replay(Outcome::Refused(refusal)) | Decision::Reject(refusal) => Err(refusal),
        }
    }

    fn order(&self) -> &Order {
        self.order.as_ref().expect("an order")
    }
}

/// A request that came through the queue.
fn accepted(number: u128, command: Command) -> Request {
    Request { accepted_at: Some(at(5)), ..Request::new(key(number), command) }
}

#[test]
fn the_line_of_an_accepted_command_that_comes_too_late_is_kept_once() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 1, 100)).expect("adds");
    stored.give(Command::Submit).expect("submits");
    let late = accepted(70, add("B-2", 3, 100));
    for _ in 0..2 {
        assert_eq!(stored.request(&late, 20), Err(Refusal::OrderClosed));
    }
    let kept =
        RejectedLine { key: late.key.clone(), sku: sku("B-2"), quantity: quantity(3), reason: Refusal::OrderClosed };
    assert_eq!(stored.order().rejected_items, [kept]);
    assert_eq!((stored.order().version, stored.order().total.amount), (3, 100), "nothing else changed");
    // A retry of it at the customer's hand is told the same, and adds nothing.
    assert_eq!(stored.request(&Request { accepted_at: None, ..late }, 21), Err(Refusal::OrderClosed));
    assert_eq!(stored.order().rejected_items.len(), 1);
}

#[test]
fn an_accepted_command_keeps_its_line_also_when_it_was_refused_before_it_was_queued() {
    let mut stored = Stored::created();
    let request = accepted(70, Command::SetQuantity { sku: sku("A-1"), quantity: quantity(2) });
    let direct = Request { accepted_at: None, ..request.clone() };
    assert_eq!(stored.request(&direct, 10), Err(Refusal::LineNotFound));
    assert_eq!(stored.order().rejected_items, []);
    assert_eq!(stored.request(&request, 11), Err(Refusal::LineNotFound));
    assert_eq!(stored.order().rejected_items.len(), 1);
}

#[test]
fn a_full_order_keeps_what_was_accepted_for_it_within_bounds() {
    let mut stored = Stored::created();
    for _ in 1..MAX_COMMANDS {
        stored.give(add("A-1", 1, 1)).expect("adds");
    }
    assert_eq!(stored.give(add("A-1", 1, 1)), Err(Refusal::TooManyCommands));
    assert_eq!(stored.order().rejected_items, []);
    for number in 0..1_200 {
        let request = accepted(100_000 + number, add("A-1", 1, 1));
        assert_eq!(stored.request(&request, 20), Err(Refusal::TooManyCommands));
    }
    assert_eq!(stored.order().rejected_items.len(), MAX_REJECTED);
    assert_eq!(stored.order().commands, 2 * MAX_COMMANDS);
    stored.give(Command::Submit).expect("a full order can be submitted");
}

#[test]
fn a_command_whose_predecessors_never_came_is_given_up_with_its_reason() {
    let stored = Stored::created();
    let request = accepted(70, add("A-1", 1, 100));
    let (order, record) = stored.order().give_up(&request, at(30));
    assert_eq!(order.rejected_items[0].reason, Refusal::Orphaned);
    assert_eq!(record.outcome, Outcome::Refused(Refusal::Orphaned));
    let again = apply(id(), Some(&order), Some(&record), &request, at(31));
    assert_eq!(again, Decision::Replay(Outcome::Refused(Refusal::Orphaned)));
}

#[test]
fn adding_a_product_twice_adds_up_and_takes_the_newest_price() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 2, 100)).expect("added");
    stored.give(add("a-1", 3, 110)).expect("added");
    assert_eq!(stored.order().items.len(), 1);
    assert_eq!(stored.order().items[0].quantity, quantity(5));
    assert_eq!(stored.order().total.amount, 550);
    assert_eq!(stored.order().version, 3);
}

#[test]
fn a_line_never_exceeds_9999_pieces_and_a_refused_add_changes_nothing() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 9999, 1)).expect("added");
    assert_eq!(stored.give(add("A-1", 1, 1)), Err(Refusal::InvalidQuantity));
    assert_eq!((stored.order().version, stored.order().total.amount), (2, 9999));
}

#[test]
fn a_total_that_no_amount_holds_is_refused() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 1, i64::MAX)).expect("added");
    assert_eq!(stored.give(add("B-1", 1, 1)), Err(Refusal::InvalidQuantity));
    assert_eq!(stored.give(add("C-1", 2, i64::MAX)), Err(Refusal::InvalidQuantity));
    assert_eq!(
        stored.give(Command::SetQuantity { sku: sku("A-1"), quantity: quantity(2) }),
        Err(Refusal::InvalidQuantity)
    );
    assert!(stored.order().adds_up());
    assert_eq!(stored.order().items.len(), 1);
}

#[test]
fn lines_of_two_currencies_do_not_meet() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 1, 100)).expect("added");
    let mut other = add("B-1", 1, 100);
    if let Command::AddItem { unit_price, .. } = &mut other {
        unit_price.currency = "USD".parse().expect("a currency");
    }
    assert_eq!(stored.give(other.clone()), Err(Refusal::MixedCurrency));
    stored.give(Command::RemoveItem { sku: sku("A-1") }).expect("removed");
    stored.give(other).expect("an empty order takes any currency");
    assert_eq!(stored.order().total.currency.as_str(), "USD");
}

#[test]
fn an_order_goes_from_open_to_confirmed_and_takes_nothing_on_the_way() {
    let mut stored = Stored::created();
    assert_eq!(stored.give(Command::Submit), Err(Refusal::OrderEmpty));
    assert_eq!(stored.give(Command::Confirm), Err(Refusal::OrderClosed));
    stored.give(add("A-1", 1, 100)).expect("added");
    stored.give(Command::Submit).expect("submitted");
    for late in [add("A-1", 1, 100), Command::Submit, Command::RemoveItem { sku: sku("A-1") }] {
        assert_eq!(stored.give(late), Err(Refusal::OrderClosed));
    }
    stored.give(Command::Confirm).expect("confirmed");
    assert_eq!(stored.give(Command::Cancel { reason: None }), Err(Refusal::OrderClosed));
    assert_eq!(stored.order().status, Status::Confirmed);
}

#[test]
fn an_order_is_cancelled_until_it_is_confirmed() {
    let mut open = Stored::created();
    open.give(Command::Cancel { reason: None }).expect("cancelled");
    let mut submitted = Stored::created();
    submitted.give(add("A-1", 1, 100)).expect("added");
    submitted.give(Command::Submit).expect("submitted");
    submitted.give(Command::Cancel { reason: Some("why".into()) }).expect("cancelled");
    assert_eq!(submitted.order().cancel_reason.as_deref(), Some("why"));
    assert_eq!(submitted.give(Command::Confirm), Err(Refusal::OrderClosed));
}

#[test]
fn a_line_that_is_not_there_is_not_found() {
    let mut stored = Stored::created();
    assert_eq!(stored.give(Command::RemoveItem { sku: sku("A-1") }), Err(Refusal::LineNotFound));
    assert_eq!(
        stored.give(Command::SetQuantity { sku: sku("A-1"), quantity: quantity(1) }),
        Err(Refusal::LineNotFound)
    );
}

#[test]
fn nothing_can_be_asked_of_an_order_that_does_not_exist() {
    let mut stored = Stored::default();
    assert_eq!(stored.give(add("A-1", 1, 100)), Err(Refusal::OrderNotFound));
    assert_eq!(stored, Stored { next_key: 1, ..Stored::default() });
}

#[test]
fn an_order_that_changed_since_it_was_read_is_not_changed_by_who_read_it_before() {
    let mut stored = Stored::created();
    let request = Request { expected_version: Some(1), ..Request::new(key(77), add("A-1", 1, 100)) };
    stored.request(&request, 10).expect("added");
    let late = Request { key: key(78), ..request.clone() };
    assert_eq!(stored.request(&late, 10), Err(Refusal::VersionConflict));
    // Its replay is no conflict: it was applied when the version fitted.
    assert_eq!(stored.request(&request, 10), Ok(()));
}

#[test]
fn a_key_names_one_request_whatever_the_catalogue_says_by_now() {
    let mut stored = Stored::created();
    let request = Request::new(key(5), add("A-1", 1, 100));
    stored.request(&request, 10).expect("added");
    let newer_price = Request::new(key(5), add("A-1", 1, 999));
    assert_eq!(stored.request(&newer_price, 11), Ok(()));
    assert_eq!(stored.order().total.amount, 100);
    assert_eq!(stored.request(&Request::new(key(5), add("A-1", 2, 100)), 11), Err(Refusal::KeyReused));
    assert_eq!(stored.request(&Request::new(key(5), Command::Submit), 11), Err(Refusal::KeyReused));
}

#[test]
fn the_thousand_and_first_command_is_refused_but_the_order_can_be_submitted() {
    let mut stored = Stored::created();
    stored.give(add("A-1", 1, 1)).expect("added");
    while stored.order().commands < MAX_COMMANDS {
        stored.give(Command::SetQuantity { sku: sku("A-1"), quantity: quantity(2) }).expect("set");
    }
    let before = stored.clone();
    assert_eq!(stored.give(add("A-1", 1, 1)), Err(Refusal::TooManyCommands));
    assert_eq!(stored.order, before.order);
    stored.give(Command::Submit).expect("submitted");
    stored.give(Command::Confirm).expect("confirmed");
    let full = stored.clone();
    assert_eq!(stored.give(Command::Submit), Err(Refusal::OrderClosed));
    assert_eq!((&stored.order, &stored.commands), (&full.order, &full.commands), "a refusal does not make it grow");
}

#[test]
fn time_never_goes_back_on_an_order() {
    let mut stored = Stored::created();
    stored.request(&Request::new(key(5), add("A-1", 1, 100)), 3).expect("added");
    assert_eq!(stored.order().updated_at, at(10));
}

fn any_command() -> impl Strategy<Value = Command> {
    let skus = prop_oneof!["A", "B", "C"];
    prop_oneof![
        (skus.clone(), 1_u32..9999, 0_i64..1_000_000).prop_map(|(text, pieces, price)| add(&text, pieces, price)),
        (skus.clone(), 1_u32..9999)
            .prop_map(|(text, pieces)| Command::SetQuantity { sku: sku(&text), quantity: quantity(pieces) }),
        skus.prop_map(|text| Command::RemoveItem { sku: sku(&text) }),
        Just(Command::Submit),
        Just(Command::Cancel { reason: None }),
        Just(Command::Confirm),
        Just(Command::Create { currency: Currency::EUR }),
    ]
}

proptest! {
    #[test]
    fn a_command_repeated_any_number_of_times_at_any_later_time_has_the_effect_of_once(
        commands in proptest::collection::vec(any_command(), 1..40),
        repeats in proptest::collection::vec((0_usize..40, 0_usize..40), 0..80),
    ) {
        let requests: Vec<_> = std::iter::once(Command::Create { currency: Currency::EUR })
            .chain(commands)
            .zip(0..)
            .map(|(command, number)| Request::new(key(number), command))
            .collect();
        let (mut once, mut often) = (Stored::default(), Stored::default());
        for (number, request) in requests.iter().enumerate() {
            let expected = once.request(request, 10);
            prop_assert_eq!(often.request(request, 10), expected);
            for (_, which) in repeats.iter().filter(|(after, which)| *after == number && *which <= number) {
                let _ = often.request(&requests[*which], 99);
            }
        }
        prop_assert_eq!(once, often);
    }

    #[test]
    fn totals_are_always_right_and_versions_count_what_was_applied(
        commands in proptest::collection::vec(any_command(), 1..60),
    ) {
        let mut stored = Stored::created();
        for command in commands {
            let before = stored.order().clone();
            let applied = stored.give(command).is_ok();
            let order = stored.order();
            prop_assert!(order.adds_up());
            prop_assert_eq!(order.version, before.version + u64::from(applied));
            prop_assert_eq!(usize::try_from(order.commands).expect("few"), stored.commands.len());
            if !applied {
                prop_assert_eq!(&order.items, &before.items);
                prop_assert_eq!(order.status, before.status);
            }
        }
    }
}
