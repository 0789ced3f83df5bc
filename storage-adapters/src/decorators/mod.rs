//! Stores and queues around others: each counts, limits, repeats or disturbs what passes through. No I/O of their own.
//!
//! Each implements the whole of both ports and honours their contract, except where [`Faulty`] is told to break it.

mod faults;
mod metering;
mod operation;
pub mod prices;
mod retry;
mod timeout;

pub use self::{
    faults::{Fault, FaultPlan, Faulty, Rule},
    metering::{Meter, Metered, Usage},
    operation::Operation,
    retry::{Budget, Retried, RetryPolicy},
    timeout::{TimeLimited, TimeLimits},
};
