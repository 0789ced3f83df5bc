//! How a message's file name says when it was sent, how often it was delivered and who leases it until when. No I/O.
//!
//! A waiting message is named `SENT-ID-DELIVERIES`, a leased one `DEADLINE-LIFE-NONCE-SENT-ID-DELIVERIES`, which is also
//! the receipt. All numbers are hexadecimal and of fixed width, so that names sort as their times do.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::clock::MachineLife;

/// A message as its file is named while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    /// Milliseconds since 1970 when it was sent.
    sent: u64,
    id: Uuid,
    pub(super) deliveries: u32,
}

/// A message as its file is named while it is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leased {
    /// Milliseconds since the machine started.
    deadline: u64,
    life: MachineLife,
    /// Tells two leases of one message apart.
    nonce: Uuid,
    pub(super) message: Waiting,
}

impl Waiting {
    pub(super) fn new(sent: Timestamp) -> Self {
        Self { sent: u64::try_from(sent.as_millisecond()).unwrap_or(0), id: Uuid::new_v4(), deliveries: 0 }
    }

    pub(super) fn name(&self) -> String {
        format!("{:016x}-{}-{:08x}", self.sent, self.id.simple(), self.deliveries)
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split('-');
        let message = Self::read(&mut fields)?;
        fields.next().is_none().then_some(message)
    }

    fn read<'name>(fields: &mut impl Iterator<Item = &'name str>) -> Option<Self> {
        Some(Self {
            sent: number(fields.next()?, 16)?,
            id: id(fields.next()?)?,
            deliveries: u32::try_from(number(fields.next()?, 8)?).ok()?,
        })
    }

    /// Whether the message is older than `retention`.
    pub(super) fn is_past(&self, retention: Duration, now: Timestamp) -> bool {
        let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Duration::from_millis(now.saturating_sub(self.sent)) > retention
    }

    /// The message with one delivery more, leased until `lease` after `now`.
    pub(super) fn leased(self, lease: Duration, now: Duration, life: MachineLife) -> Leased {
        let message = Self { deliveries: self.deliveries.saturating_add(1), ..self };
        Leased { deadline: millis(now + lease), life, nonce: Uuid::new_v4(), message }
    }
}

impl Leased {
    pub(super) fn name(&self) -> String {
        format!("{:016x}-{}-{}-{}", self.deadline, self.life.0.simple(), self.nonce.simple(), self.message.name())
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut fields = name.split('-');
        let leased = Self {
            deadline: number(fields.next()?, 16)?,
            life: MachineLife(id(fields.next()?)?),
            nonce: id(fields.next()?)?,
            message: Waiting::read(&mut fields)?,
        };
        fields.next().is_none().then_some(leased)
    }

    /// Whether the lease has ended: its time has come, or the machine was started again.
    pub(super) fn has_ended(&self, now: Duration, life: MachineLife) -> bool {
        self.life != life || millis(now) >= self.deadline
    }

    /// The same delivery, leased until `lease` after `now`.
    pub(super) fn extended(self, lease: Duration, now: Duration, life: MachineLife) -> Self {
        Self { deadline: millis(now + lease), life, nonce: Uuid::new_v4(), ..self }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let is_hex = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

fn id(text: &str) -> Option<Uuid> {
    number(text.get(..16)?, 16)?;
    Uuid::try_parse(text).ok().filter(|_| text.len() == 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: MachineLife = MachineLife(Uuid::from_u128(1));

    fn waiting() -> Waiting {
        Waiting::new("2026-03-01T00:00:00Z".parse().expect("a time"))
    }

    #[test]
    fn names_read_as_they_were_written() {
        let waiting = waiting();
        let leased = waiting.leased(Duration::from_secs(5), Duration::from_secs(100), LIFE);
        assert_eq!(Waiting::parse(&waiting.name()), Some(waiting));
        assert_eq!(Leased::parse(&leased.name()), Some(leased));
        assert_eq!(leased.message.deliveries, 1);
        assert!(leased.name().len() < 255);
    }

    #[test]
    fn what_is_no_name_is_not_read() {
        let name = waiting().leased(Duration::from_secs(5), Duration::ZERO, LIFE).name();
        for text in [
            "",
            "a",
            "../../etc/passwd",
            &name[1..],
            &format!("{name}-0"),
            &name.replace('-', "/"),
            "é".repeat(60).as_str(),
        ] {
            assert_eq!(Leased::parse(text), None, "{text}");
            assert_eq!(Waiting::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_lease_ends_at_its_time_or_with_the_life_of_the_machine() {
        let leased = waiting().leased(Duration::from_secs(5), Duration::from_secs(100), LIFE);
        assert!(!leased.has_ended(Duration::from_millis(104_999), LIFE));
        assert!(leased.has_ended(Duration::from_secs(105), LIFE));
        assert!(leased.has_ended(Duration::from_secs(100), MachineLife(Uuid::from_u128(2))));
    }

    #[test]
    fn an_extended_lease_is_another_one_of_the_same_delivery() {
        let leased = waiting().leased(Duration::from_secs(5), Duration::from_secs(100), LIFE);
        let extended = leased.extended(Duration::from_secs(5), Duration::from_secs(100), LIFE);
        assert_ne!(extended.name(), leased.name());
        assert_eq!(extended.message, leased.message);
    }

    #[test]
    fn a_message_is_past_its_retention_only_after_it() {
        let day = Duration::from_hours(24);
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert!(!waiting().is_past(day, at("2026-03-02T00:00:00Z")));
        assert!(waiting().is_past(day, at("2026-03-02T00:00:01Z")));
        assert!(!waiting().is_past(day, at("2020-01-01T00:00:00Z")));
    }
}
