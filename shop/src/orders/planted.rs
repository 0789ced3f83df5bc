//! Mistakes planted on purpose, compiled only for the tests that must catch them. Reads one environment variable.

/// The variable that names the mistake to make.
pub const VARIABLE: &str = "SHOP_PLANTED_BUG";

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A command, a read or a replay is answered before what it says is durable.
    AnswerBeforeFlush,
}

impl Bug {
    /// The mistake that the process was told to make.
    #[must_use]
    pub fn planted() -> Option<Self> {
        match std::env::var(VARIABLE).as_deref() {
            Ok("answer-before-flush") => Some(Self::AnswerBeforeFlush),
            _ => None,
        }
    }
}
