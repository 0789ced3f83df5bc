//! Every order of the steps of two workers that move a shard between two stores and back, are killed anywhere, suspect each other and
//! meet a store that fails: what may be written is one database at any moment, it has everything that was acknowledged, and from
//! every state the shard can still arrive. Leases change by the production's rules; databases are what `SlateDB` promises of them.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
};

use storage_adapters::config::Provider;
use uuid::Uuid;

use super::{
    lease::{Holder, Lease},
    membership::BootId,
    registry::Verdict,
};

const HERE: Provider = Provider::Aws;
const THERE: Provider = Provider::Azure;

/// A mistake that the model must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// The tombstone is written before the copy is whole.
    TombstoneFirst,
    /// What was written last is not copied.
    LoseLast,
    /// The lease is not read again before a database is opened by the epoch that was found in it.
    OpenLost,
    /// A database is opened whatever epoch it has.
    OpenAnyEpoch,
    /// What is in memory is passed on by a worker that could not close its database in order.
    RememberUnclosed,
}

/// A database in one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Database {
    /// Epoch of its newest writer; others are fenced.
    writer: u64,
    /// Its rows, one bit each.
    rows: u8,
    /// Whether it was opened here, and is no mere copy any more.
    is_live: bool,
}

/// What a worker is about to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Down,
    /// To read the leases of the first store.
    Idle,
    /// To read those of the second.
    Looking(Option<Lease>),
    /// To take this lease.
    Taking(Lease),
    /// To open a database whose writer's epoch is known or not; `is_mine` when the lease was read again since.
    Opening {
        lease: Lease,
        expected: Option<u64>,
        is_mine: bool,
        remembered: Option<u8>,
    },
    Serving {
        lease: Lease,
        writer: u64,
    },
    /// Nobody answers; to copy the rest.
    Closed {
        lease: Lease,
        to: Provider,
        closed_in: Option<u64>,
        remembered: u8,
    },
    /// To leave the store.
    Copied {
        lease: Lease,
        to: Provider,
        closed_in: Option<u64>,
        remembered: u8,
    },
    /// To take the shard in the other store.
    Left {
        tombstone: Lease,
        remembered: Option<u8>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Worker {
    /// Which process it is; each has a boot id of its own.
    life: u8,
    doing: Doing,
}

/// A row that was decided about and is only in memory when closing fails.
const UNFLUSHED: u8 = 1 << 7;

/// How often each kind of trouble may still come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Trouble {
    kills: u8,
    /// A worker that lives is taken for dead.
    suspicions: u8,
    /// Closing, or the other store, fails while nobody is answered.
    failures: u8,
    /// Changes of mind.
    changes: u8,
    /// Rows to write.
    writes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    leases: BTreeMap<Provider, Lease>,
    databases: BTreeMap<(Provider, u64), Database>,
    acknowledged: u8,
    wish: Provider,
    workers: [Worker; 2],
    left: Trouble,
}

/// What comes next, or what is wrong.
type Step = Result<World, &'static str>;

impl World {
    /// A shard that was closed in order and that nobody has, in the store that it is to leave.
    fn first(left: Trouble) -> Self {
        let lease =
            Lease { home: HERE, epoch: 1, generation: 1, new: false, holder: None, closed_in: Some(1), clock_floor: 0 };
        let idle = || Worker { life: 0, doing: Doing::Idle };
        Self {
            leases: BTreeMap::from([(HERE, lease)]),
            databases: BTreeMap::from([((HERE, 1), Database { writer: 1, rows: 0, is_live: true })]),
            acknowledged: 0,
            wish: THERE,
            workers: [idle(), idle()],
            left,
        }
    }

    fn holder(worker: usize, life: u8) -> Holder {
        let number = u128::from(life) * 2 + u128::from(worker == 1);
        Holder { boot_id: BootId::new(Uuid::from_u128(number)), address: String::new() }
    }

    fn me(&self, worker: usize) -> Holder {
        Self::holder(worker, self.workers[worker].life)
    }

    fn lives(&self, holder: &Holder) -> bool {
        let lives = |worker: usize| self.workers[worker].doing != Doing::Down && self.me(worker) == *holder;
        lives(0) || lives(1)
    }

    /// The same world, in which a worker is about to do something else.
    fn with(&self, worker: usize, doing: Doing) -> Self {
        let mut next = self.clone();
        next.workers[worker].doing = doing;
        next
    }

    /// Changes a lease as the registry of a store does; whether that was won.
    fn swap(&mut self, store: Provider, expected: &Lease, wanted: &Lease) -> bool {
        match Verdict::on(self.leases.get(&store), expected, wanted) {
            Verdict::Write => {
                self.leases.insert(store, wanted.clone());
                true
            }
            Verdict::Written => true,
            Verdict::Lost => false,
        }
    }

    /// Copies all files of a database; whether the copy has them then.
    fn copy(&mut self, lease: &Lease, to: Provider, mistake: Option<Mistake>) -> bool {
        let source = self.databases[&(lease.home, lease.generation)];
        let empty = Database { writer: 0, rows: 0, is_live: false };
        let copy = self.databases.entry((to, lease.generation + 1)).or_insert(empty);
        // Somebody writes it: the names of new files are taken.
        if copy.is_live {
            return false;
        }
        let lost = source.rows.checked_ilog2().filter(|_| mistake == Some(Mistake::LoseLast)).map_or(0, |row| 1 << row);
        copy.rows |= source.rows & !lost;
        copy.writer = copy.writer.max(source.writer);
        true
    }

    /// All that may happen next.
    fn steps(&self, mistake: Option<Mistake>) -> Vec<Step> {
        let mut steps: Vec<Step> = [0, 1].into_iter().flat_map(|worker| self.steps_of(worker, mistake)).collect();
        if self.left.changes > 0 {
            let mut next = self.clone();
            next.left.changes -= 1;
            next.wish = if self.wish == HERE { THERE } else { HERE };
            steps.push(Ok(next));
        }
        steps
    }

    fn steps_of(&self, worker: usize, mistake: Option<Mistake>) -> Vec<Step> {
        let doing = &self.workers[worker].doing;
        let mut steps = match doing {
            Doing::Down => {
                let mut next = self.with(worker, Doing::Idle);
                next.workers[worker].life += 1;
                return vec![Ok(next)];
            }
            Doing::Idle => vec![Ok(self.with(worker, Doing::Looking(self.leases.get(&HERE).cloned())))],
            Doing::Looking(seen) => {
                // Of two leases the one with the higher epoch counts, as in `Leases::learn_one`.
                let found = seen.iter().chain(self.leases.get(&THERE)).max_by_key(|lease| lease.epoch);
                vec![Ok(self.with(worker, found.map_or(Doing::Idle, |lease| Doing::Taking(lease.clone()))))]
            }
            Doing::Taking(lease) => self.take(worker, lease),
            Doing::Opening { .. } => vec![self.open(worker, mistake)],
            Doing::Serving { lease, writer } => self.serve(worker, lease, *writer, mistake),
            Doing::Closed { .. } | Doing::Copied { .. } => self.leave(worker, mistake),
            Doing::Left { tombstone, remembered } => {
                let mut next = self.clone();
                let lease = tombstone.taken_by(self.me(worker), 0);
                let won = next.swap(tombstone.home, tombstone, &lease);
                let opening = Doing::Opening { lease, expected: None, is_mine: false, remembered: *remembered };
                vec![Ok(next.with(worker, if won { opening } else { Doing::Idle }))]
            }
        };
        if self.left.kills > 0 {
            let mut next = self.with(worker, Doing::Down);
            next.left.kills -= 1;
            steps.push(Ok(next));
        }
        steps
    }

    /// Takes a lease that nobody has, or somebody who is dead or taken for it.
    fn take(&self, worker: usize, lease: &Lease) -> Vec<Step> {
        let me = self.me(worker);
        let mut next = self.clone();
        if lease.holder.as_ref().is_some_and(|holder| *holder != me && self.lives(holder)) {
            if self.left.suspicions == 0 {
                return vec![Ok(self.with(worker, Doing::Idle))];
            }
            next.left.suspicions -= 1;
        }
        let taken = lease.taken_by(me, 0);
        let won = next.swap(lease.home, lease, &taken);
        let opening = Doing::Opening { lease: taken, expected: None, is_mine: false, remembered: None };
        vec![Ok(self.with(worker, Doing::Idle)), Ok(next.with(worker, if won { opening } else { Doing::Idle }))]
    }

    /// One step of opening a database: finding its epoch, reading the lease again, and opening it by that epoch.
    fn open(&self, worker: usize, mistake: Option<Mistake>) -> Step {
        let Doing::Opening { lease, expected, is_mine, remembered } = &self.workers[worker].doing else {
            unreachable!("it opens");
        };
        let place = (lease.home, lease.generation);
        let Some(database) = self.databases.get(&place) else { return Err("a database is missing") };
        let opening = |expected, is_mine| Doing::Opening {
            lease: lease.clone(),
            expected: Some(expected),
            is_mine,
            remembered: *remembered,
        };
        let expected = match (expected, lease.closed_in) {
            (None, None) => return Ok(self.with(worker, opening(database.writer, false))),
            (Some(found), None) if !is_mine => {
                let is_mine = self.leases.get(&lease.home) == Some(lease) || mistake == Some(Mistake::OpenLost);
                return Ok(self.with(worker, if is_mine { opening(*found, true) } else { Doing::Idle }));
            }
            (Some(found), None) => *found,
            (_, Some(closed_in)) => closed_in,
        };
        if database.writer != expected && mistake != Some(Mistake::OpenAnyEpoch) {
            return Ok(self.with(worker, Doing::Idle));
        }
        if self.acknowledged & !database.rows != 0 {
            return Err("a database is opened that lacks what was acknowledged");
        }
        if remembered.is_some_and(|rows| rows != database.rows) {
            return Err("a worker remembers other rows than the database has");
        }
        let writer = database.writer + 1;
        let mut next = self.with(worker, Doing::Serving { lease: lease.clone(), writer });
        next.databases.insert(place, Database { writer, is_live: true, ..*database });
        Ok(next)
    }

    /// Writes, sees that it has lost the shard, copies, or begins to leave.
    fn serve(&self, worker: usize, lease: &Lease, writer: u64, mistake: Option<Mistake>) -> Vec<Step> {
        let place = (lease.home, lease.generation);
        let database = self.databases[&place];
        let mut steps = Vec::new();
        if self.left.writes > 0 {
            steps.push(self.write(worker, place, writer));
        }
        if self.leases.get(&lease.home) != Some(lease) {
            steps.push(Ok(self.with(worker, Doing::Idle)));
        }
        if self.wish != lease.home {
            let mut next = self.clone();
            next.copy(lease, self.wish, mistake);
            steps.push(Ok(next));
            let closed_in = (database.writer == writer).then_some(writer);
            let closed =
                |closed_in, remembered| Doing::Closed { lease: lease.clone(), to: self.wish, closed_in, remembered };
            steps.push(Ok(self.with(worker, closed(closed_in, database.rows))));
            if self.left.failures > 0 {
                let mut next = self.with(worker, closed(None, database.rows | UNFLUSHED));
                next.left.failures -= 1;
                steps.push(Ok(next));
            }
        }
        steps
    }

    fn write(&self, worker: usize, place: (Provider, u64), writer: u64) -> Step {
        let database = self.databases[&place];
        if database.writer != writer {
            return Ok(self.with(worker, Doing::Idle));
        }
        if self.databases.iter().any(|((_, generation), other)| other.is_live && *generation > place.1) {
            return Err("a command is acknowledged in a store that the shard has left");
        }
        let mut next = self.clone();
        next.left.writes -= 1;
        let row = 1 << next.left.writes;
        next.acknowledged |= row;
        next.databases.insert(place, Database { rows: database.rows | row, ..database });
        Ok(next)
    }

    /// Copies the rest of a closed database and leaves the store, or stays when that fails.
    fn leave(&self, worker: usize, mistake: Option<Mistake>) -> Vec<Step> {
        let (is_copied, lease, to, closed_in, remembered) = match &self.workers[worker].doing {
            Doing::Closed { lease, to, closed_in, remembered } => (false, lease, *to, *closed_in, *remembered),
            Doing::Copied { lease, to, closed_in, remembered } => (true, lease, *to, *closed_in, *remembered),
            other => unreachable!("{other:?} is not leaving"),
        };
        let passed_on = (closed_in.is_some() || mistake == Some(Mistake::RememberUnclosed)).then_some(remembered);
        let back = |mut next: Self| {
            let renewed = lease.given_to(Some(self.me(worker)), closed_in, 0);
            let won = next.swap(lease.home, lease, &renewed);
            let opening = Doing::Opening { lease: renewed, expected: None, is_mine: false, remembered: passed_on };
            Ok(next.with(worker, if won { opening } else { Doing::Idle }))
        };
        let mut next = self.clone();
        if is_copied {
            let tombstone = lease.moved_to(to, closed_in, 0);
            let won = next.swap(lease.home, lease, &tombstone);
            let left = Doing::Left { tombstone, remembered: passed_on };
            return vec![if won { Ok(next.with(worker, left)) } else { back(next) }];
        }
        let is_whole = mistake == Some(Mistake::TombstoneFirst) || next.copy(lease, to, mistake);
        let copied = Doing::Copied { lease: lease.clone(), to, closed_in, remembered };
        let mut steps = vec![if is_whole { Ok(next.with(worker, copied)) } else { back(next) }];
        if self.left.failures > 0 {
            let mut next = self.clone();
            next.left.failures -= 1;
            steps.push(back(next));
        }
        steps
    }

    /// Whether a worker answers for the shard where it is to be.
    fn has_arrived(&self) -> bool {
        self.workers.iter().any(|worker| match &worker.doing {
            Doing::Serving { lease, writer } => {
                lease.home == self.wish
                    && self.leases.get(&lease.home) == Some(lease)
                    && self.databases[&(lease.home, lease.generation)].writer == *writer
            }
            _ => false,
        })
    }
}

/// Explores all states; how many there are, or what is wrong with one.
fn explore(left: Trouble, mistake: Option<Mistake>) -> Result<usize, &'static str> {
    // The fingerprint of each state stands for it.
    let fingerprints = BuildHasherDefault::<DefaultHasher>::default();
    let first = World::first(left);
    let mut numbers = HashMap::from([(fingerprints.hash_one(&first), 0)]);
    let (mut waiting, mut came_from, mut arrived) = (VecDeque::from([(0, first)]), vec![Vec::new()], Vec::new());
    while let Some((number, world)) = waiting.pop_front() {
        if world.has_arrived() {
            arrived.push(number);
        }
        for step in world.steps(mistake) {
            let next = step?;
            let fresh = came_from.len();
            let known = *numbers.entry(fingerprints.hash_one(&next)).or_insert(fresh);
            if known == fresh {
                came_from.push(Vec::new());
                waiting.push_back((fresh, next));
            }
            came_from[known].push(number);
        }
    }
    let mut can_arrive = vec![false; came_from.len()];
    while let Some(number) = arrived.pop() {
        if !std::mem::replace(&mut can_arrive[number], true) {
            arrived.extend(&came_from[number]);
        }
    }
    if can_arrive.iter().all(|can| *can) { Ok(came_from.len()) } else { Err("the shard can arrive no more") }
}

const TROUBLE: Trouble = Trouble { kills: 1, suspicions: 1, failures: 1, changes: 1, writes: 1 };

#[test]
fn whatever_comes_first_one_database_is_written_nothing_acknowledged_is_missing_and_the_shard_can_arrive() {
    let states = explore(TROUBLE, None).expect("nothing is wrong");
    println!("{states} states");
    assert!(states > 100_000, "only {states} states");
}

#[test]
fn each_mistake_is_found() {
    use Mistake::{LoseLast, OpenAnyEpoch, OpenLost, RememberUnclosed, TombstoneFirst};
    for mistake in [TombstoneFirst, LoseLast, OpenLost, OpenAnyEpoch, RememberUnclosed] {
        assert!(explore(TROUBLE, Some(mistake)).is_err(), "{mistake:?}");
    }
}
