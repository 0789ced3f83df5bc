//! Mistakes planted on purpose, compiled only for the tests that must catch them. Reads one environment variable.

/// The variable that names the mistake to make.
pub const VARIABLE: &str = "SHOP_PLANTED_BUG";

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A command, a read or a replay is answered before what it says is durable.
    AnswerBeforeFlush,
    /// A command is applied although one that it comes after is not here.
    ApplyBeforeAfter,
    /// What was decided of a command is not kept.
    ForgetCommand,
    /// The reply of a heartbeat brings a term back that has lapsed.
    ReviveByReply,
    /// A database is opened whoever opened it meanwhile.
    OpenWithoutEpoch,
    /// A submitted order leaves the outbox when its hint is sent.
    ForgetOnceSent,
    /// A database is opened whose lease went to another worker, or to another store, meanwhile.
    OpenLost,
    /// After two moves a database is opened as it was before them.
    OpenOldGeneration,
    /// Files of the log count as copied that are not.
    LoseLogFiles,
    /// A shard is left to another store before its copy there is whole.
    TombstoneFirst,
}

impl Bug {
    /// The mistake that the process was told to make.
    #[must_use]
    pub fn planted() -> Option<Self> {
        match std::env::var(VARIABLE).as_deref() {
            Ok("answer-before-flush") => Some(Self::AnswerBeforeFlush),
            Ok("apply-before-after") => Some(Self::ApplyBeforeAfter),
            Ok("forget-command") => Some(Self::ForgetCommand),
            Ok("revive-by-reply") => Some(Self::ReviveByReply),
            Ok("open-without-epoch") => Some(Self::OpenWithoutEpoch),
            Ok("forget-once-sent") => Some(Self::ForgetOnceSent),
            Ok("open-lost") => Some(Self::OpenLost),
            Ok("open-old-generation") => Some(Self::OpenOldGeneration),
            Ok("lose-log-files") => Some(Self::LoseLogFiles),
            Ok("tombstone-first") => Some(Self::TombstoneFirst),
            _ => None,
        }
    }
}
