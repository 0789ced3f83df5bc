//! The clock that leases are measured by, which all processes of the machine share: time since it started, sleep included.

use std::{fs, io, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// A life of the machine, from one start to the next. Times of another life mean nothing in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MachineLife(pub(super) Uuid);

impl MachineLife {
    /// The present one.
    pub(super) fn read() -> io::Result<Self> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        text.trim().parse().map(Self).map_err(io::Error::other)
    }
}

/// Time since the machine started.
pub(super) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
