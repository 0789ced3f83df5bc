//! The rounds: both sides do each operation in turn, and the time and the processor time of each are taken. Does I/O
//! through the sides.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use super::side::{Delivery, MESSAGES, Outcome, Side};

/// Bytes of a blob.
pub(crate) const BLOB: usize = 4 * 1024;

/// Bytes of a message.
pub(crate) const PACK: usize = 1024;

/// Blobs that a listing finds.
pub(crate) const LISTED: usize = 1_000;

/// Turns of each side in a round: short ones, so that what else the machine does meets both.
const TURNS: usize = 20;

/// Blobs and messages of a turn.
const COUNT: usize = 20;

/// One kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Put,
    Get,
    List,
    Send,
    Receive,
    Ack,
}

impl Operation {
    /// All of them, in the order in which a round does them: each finds what an earlier one left.
    pub(crate) const ALL: [Self; 6] = [Self::Put, Self::Get, Self::List, Self::Send, Self::Receive, Self::Ack];

    /// How often a turn does it. An emulator takes its time for each listing.
    fn count(self) -> usize {
        match self {
            Self::Put | Self::Get | Self::Send | Self::Ack => COUNT,
            Self::List => 1,
            Self::Receive => COUNT / MESSAGES,
        }
    }
}

/// What one side took for one operation in one round.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// Time of the median operation, in milliseconds.
    pub(crate) latency: f64,
    /// Operations a second.
    pub(crate) rate: f64,
    /// User and system time of this process for an operation, in microseconds.
    pub(crate) cpu: f64,
}

/// The samples of each operation: of each side, one a round.
pub(crate) type Samples = BTreeMap<Operation, [Vec<Sample>; 2]>;

/// Does `rounds` rounds, and one before them that does not count.
pub(crate) async fn measure(sides: [&dyn Side; 2], rounds: usize) -> Outcome<Samples> {
    for side in sides {
        for number in 0..LISTED {
            side.put(&format!("listed/{number:04}"), Bytes::new()).await?;
        }
    }
    let mut samples = Samples::new();
    for round in 0..=rounds {
        let mut states = [State::of(round), State::of(round)];
        for operation in Operation::ALL {
            let mut taken = [Taken::default(), Taken::default()];
            for turn in 0..TURNS {
                // Who begins changes, so that neither always finds the processor as the other left it.
                for place in [turn % 2, 1 - turn % 2] {
                    take_turn(sides[place], operation, &mut states[place], turn, &mut taken[place]).await?;
                }
            }
            if round > 0 {
                let samples = samples.entry(operation).or_default();
                for (samples, taken) in samples.iter_mut().zip(taken) {
                    samples.push(taken.sample()?);
                }
            }
        }
    }
    Ok(samples)
}

/// What a round of one side hands from operation to operation.
struct State {
    round: usize,
    deliveries: Vec<Delivery>,
}

impl State {
    fn of(round: usize) -> Self {
        Self { round, deliveries: Vec::new() }
    }

    fn key(&self, number: usize) -> String {
        format!("put/{}/{number:04}", self.round)
    }
}

/// What one side took for one operation so far in a round.
#[derive(Default)]
struct Taken {
    times: Vec<Duration>,
    total: Duration,
    cpu: Duration,
}

impl Taken {
    fn sample(mut self) -> Outcome<Sample> {
        self.times.sort_unstable();
        let count = f64::from(u32::try_from(self.times.len())?);
        Ok(Sample {
            latency: self.times[self.times.len() / 2].as_secs_f64() * 1e3,
            rate: count / self.total.as_secs_f64(),
            cpu: self.cpu.as_secs_f64() * 1e6 / count,
        })
    }
}

async fn take_turn(
    side: &dyn Side,
    operation: Operation,
    state: &mut State,
    turn: usize,
    taken: &mut Taken,
) -> Outcome<()> {
    let count = operation.count();
    let (begun, cpu) = (Instant::now(), cpu_time());
    for number in turn * count..(turn + 1) * count {
        let begun = Instant::now();
        perform(side, operation, state, number).await?;
        taken.times.push(begun.elapsed());
    }
    taken.total += begun.elapsed();
    taken.cpu += cpu_time().saturating_sub(cpu);
    Ok(())
}

async fn perform(side: &dyn Side, operation: Operation, state: &mut State, number: usize) -> Outcome<()> {
    match operation {
        Operation::Put => side.put(&state.key(number), Bytes::from_static(&[7; BLOB])).await,
        Operation::Get => expect(side.get(&state.key(number)).await?, BLOB, "bytes of a blob"),
        Operation::List => expect(side.list("listed/").await?, LISTED, "blobs of a listing"),
        Operation::Send => side.send(Bytes::from_static(&[7; PACK])).await,
        Operation::Receive => {
            let mut deliveries = side.receive().await?;
            expect(deliveries.iter().map(|delivery| delivery.length).sum(), MESSAGES * PACK, "bytes of messages")?;
            state.deliveries.append(&mut deliveries);
            Ok(())
        }
        Operation::Ack => side.ack(state.deliveries.pop().ok_or("no message is left")?).await,
    }
}

fn expect(found: usize, expected: usize, what: &str) -> Outcome<()> {
    if found == expected { Ok(()) } else { Err(format!("{found} {what} were found, not {expected}").into()) }
}

/// User and system time of this process so far.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}
