use jiff::Timestamp;

use crate::domain::{Command, Currency, Decision, Money, Quantity, Request, Status, apply};

use super::*;

const CREATE: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

pub(in super::super) fn secret() -> OrderIdSecret {
    OrderIdSecret::new([7; 32])
}

pub(in super::super) fn order_id() -> OrderId {
    OrderId::derive(&secret(), &IdempotencyKey::for_create(CREATE).expect("a key"))
}

/// Two pieces of A-1.
fn add() -> Command {
    Command::AddItem {
        sku: "A-1".parse().expect("a SKU"),
        name: "Lamp".into(),
        quantity: Quantity::try_from(2).expect("a quantity"),
        unit_price: Money { amount: 250, currency: Currency::EUR },
        catalogue_version: 1,
    }
}

/// What the store holds after the order was created, got two pieces of A-1 (key `a`) and was submitted (key `s`).
pub(in super::super) fn stored() -> Stored {
    stored_as(order_id())
}

/// The same of another order.
pub(in super::super) fn stored_as(id: OrderId) -> Stored {
    let commands = [(CREATE, Command::Create { currency: Currency::EUR }), ("a", add()), ("s", Command::Submit)];
    let mut stored = Stored::new(id);
    for (key, command) in commands {
        let key = IdempotencyKey::for_order(key).expect("a key");
        let request = Request::new(key.clone(), command);
        let decision = apply(id, stored.order.as_ref(), None, &request, Timestamp::UNIX_EPOCH);
        let Decision::Apply { order, record } = decision else { panic!("applies") };
        stored.order = Some(order);
        stored.commands.insert(key.as_str().to_owned(), record);
    }
    stored.in_outbox = true;
    stored
}

fn entry(op: &str, key: &str, outcome: &str) -> String {
    let item = if op == "add" { r#""sku":"a-1","quantity":2"# } else { r#""sku":null,"quantity":null"# };
    let order = if op == "create" { "null".to_owned() } else { format!("\"{}\"", order_id()) };
    format!(
        r#"{{"at_ns":1,"op":"{op}","order":{order},{item},"key":"{key}","outcome":"{outcome}","http":200,"durability":null,"persisted_ns":null}}"#
    ) + "\n"
}

fn whole_ledger() -> Vec<String> {
    vec![entry("create", CREATE, "acked"), entry("add", "a", "acked"), entry("submit", "s", "acked")]
}

fn ledger(text: &str) -> Result<Ledger, LedgerError> {
    let mut ledger = Ledger::default();
    ledger.add(text, &secret()).map(|()| ledger)
}

fn verify(stored: &[Stored], entries: &[String]) -> VerifyReport {
    let ledger = ledger(&entries.concat()).expect("a ledger");
    let mut verification = Verification::new(Some(ledger));
    for stored in stored {
        verification.take(stored, 0, 0);
    }
    verification.end()
}

fn counts(report: &VerifyReport) -> [u64; 4] {
    [report.lost, report.doubled, report.phantom, report.corrupt]
}

#[test]
fn what_was_acknowledged_and_is_stored_once_is_clean() {
    let report = verify(&[stored()], &whole_ledger());
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.orders, 1);
}

#[test]
fn an_acknowledged_command_that_is_not_stored_is_lost() {
    let mut ledger = whole_ledger();
    ledger.push(entry("add", "b", "acked"));
    assert_eq!(counts(&verify(&[stored()], &ledger)), [1, 0, 0, 0]);
}

#[test]
fn an_acknowledged_order_that_is_not_stored_is_lost_with_all_its_commands() {
    assert_eq!(counts(&verify(&[], &whole_ledger())), [3, 0, 0, 0]);
}

#[test]
fn an_unknown_outcome_may_be_stored_or_not() {
    let mut ledger =
        vec![entry("create", CREATE, "unknown"), entry("add", "a", "unknown"), entry("submit", "s", "unknown")];
    assert!(verify(&[stored()], &ledger).is_clean());
    ledger.push(entry("add", "b", "unknown"));
    assert!(verify(&[stored()], &ledger).is_clean());
    assert!(verify(&[], &ledger).is_clean());
}

#[test]
fn a_retry_that_was_acknowledged_makes_up_for_a_try_that_was_refused() {
    let mut ledger = whole_ledger();
    ledger.insert(1, entry("add", "a", "refused"));
    assert!(verify(&[stored()], &ledger).is_clean());
}

/// An add with the key `q` that the queue took, as a ledger has it and as a request.
fn queued_add() -> (String, Request) {
    let entry = entry("add", "q", "acked").replace(r#""durability":null"#, r#""durability":"queue""#);
    let key = IdempotencyKey::for_order("q").expect("a key");
    (entry, Request { accepted_at: Some(Timestamp::UNIX_EPOCH), ..Request::new(key, add()) })
}

#[test]
fn what_the_queue_took_is_not_lost_while_it_is_parked_or_kept_with_the_reason_why_not() {
    let (entry, request) = queued_add();
    let ledger = [whole_ledger(), vec![entry]].concat();
    assert_eq!(counts(&verify(&[stored()], &ledger)), [1, 0, 0, 0], "it is nowhere");
    let parked = Stored { parked: vec![request.clone()], ..stored() };
    assert!(verify(&[parked], &ledger).is_clean());
    // Too late: it is refused with a record, and its line is kept.
    let mut late = stored();
    let decision = apply(order_id(), late.order.as_ref(), None, &request, Timestamp::UNIX_EPOCH);
    let Decision::Refuse { order, record, .. } = decision else { panic!("{decision:?}") };
    assert!(order.has_rejected(&request.key));
    late.order = Some(order);
    assert!(verify(&[late], &ledger).is_clean());
    let mut refused = stored();
    refused.commands.insert("q".to_owned(), record);
    assert!(verify(&[refused], &ledger).is_clean());
}

#[test]
fn what_was_said_to_be_persisted_is_lost_when_it_is_only_parked() {
    let (entry, request) = queued_add();
    let ledger = [whole_ledger(), vec![entry.replace("queue", "persisted")]].concat();
    let parked = Stored { parked: vec![request], ..stored() };
    assert_eq!(counts(&verify(&[parked], &ledger)), [1, 0, 0, 0]);
}

#[test]
fn a_refused_command_that_is_stored_is_a_phantom() {
    let ledger = [entry("create", CREATE, "acked"), entry("add", "a", "refused"), entry("submit", "s", "acked")];
    assert_eq!(counts(&verify(&[stored()], &ledger)), [0, 0, 1, 0]);
}

#[test]
fn a_stored_command_that_was_never_attempted_is_a_phantom() {
    let ledger = [entry("create", CREATE, "acked"), entry("add", "a", "acked")];
    assert_eq!(counts(&verify(&[stored()], &ledger)), [0, 0, 1, 0]);
}

#[test]
fn a_stored_command_that_differs_from_the_acknowledged_one_is_lost() {
    let mut ledger = whole_ledger();
    ledger[1] = ledger[1].replace("\"quantity\":2", "\"quantity\":3");
    assert_eq!(counts(&verify(&[stored()], &ledger)), [1, 0, 0, 0]);
}

#[test]
fn a_line_that_holds_more_than_its_commands_make_is_doubled_and_less_is_lost() {
    for (pieces, expected) in [(4, [0, 1, 0, 0]), (1, [1, 0, 0, 0])] {
        let mut stored = stored();
        let order = stored.order.as_mut().expect("an order");
        let line = &mut order.items[0];
        line.quantity = Quantity::try_from(pieces).expect("a quantity");
        line.total = line.unit_price.times(pieces).expect("fits");
        order.total = line.total;
        assert_eq!(counts(&verify(&[stored], &whole_ledger())), expected);
    }
}

#[test]
fn a_command_whose_record_is_gone_is_corrupt_also_without_a_ledger() {
    let mut stored = stored();
    stored.commands.remove("a");
    let mut verification = Verification::new(None);
    verification.take(&stored, 0, 0);
    assert_eq!(counts(&verification.end()), [0, 0, 0, 1]);
}

#[test]
fn totals_outbox_and_shard_must_fit_the_order() {
    let mut wrong_total = stored();
    wrong_total.order.as_mut().expect("an order").total.amount += 1;
    let mut not_in_outbox = stored();
    not_in_outbox.in_outbox = false;
    assert_eq!(stored().order.map(|order| order.status), Some(Status::Submitted));
    for stored in [wrong_total, not_in_outbox] {
        assert_eq!(counts(&verify(&[stored], &whole_ledger())), [0, 0, 0, 1]);
    }
    let mut verification = Verification::new(None);
    verification.take(&stored(), 1, 0);
    assert_eq!(counts(&verification.end()), [0, 0, 0, 1]);
}

#[test]
fn an_order_in_two_shards_is_doubled() {
    let report = verify(&[stored()], &whole_ledger());
    assert!(report.is_clean());
    let mut verification = Verification::new(None);
    verification.take(&stored(), 0, 0);
    verification.take(&stored(), 0, 0);
    assert_eq!(counts(&verification.end()), [0, 1, 0, 0]);
}

#[test]
fn the_last_line_of_a_killed_writer_is_left_out_and_any_other_broken_line_is_an_error() {
    let text = whole_ledger().concat();
    let cut = &text[..text.len() - 20];
    let mut verification = Verification::new(Some(ledger(cut).expect("a ledger")));
    verification.take(&stored(), 0, 0);
    assert_eq!(counts(&verification.end()), [0, 0, 1, 0], "the submit was not in the ledger");
    let error = ledger(&format!("nonsense\n{text}")).expect_err("refused");
    assert!(error.to_string().starts_with("line 1 "), "{error}");
}
