//! The operations of both ports by name, for what counts, limits or disturbs them. No I/O.

/// One operation of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A whole body put.
    Put,
    /// A body put in pieces.
    PutStream,
    /// A blob read, or a range of it.
    Get,
    /// A blob's facts read.
    Head,
    /// A blob copied within the store.
    Copy,
    /// A blob removed.
    Delete,
    /// Blobs listed.
    List,
    /// A pack sent.
    Send,
    /// Messages asked for.
    Receive,
    /// A lease extended.
    Extend,
    /// A message acknowledged.
    Ack,
    /// Messages counted.
    Depth,
}

impl Operation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Put,
        Self::PutStream,
        Self::Get,
        Self::Head,
        Self::Copy,
        Self::Delete,
        Self::List,
        Self::Send,
        Self::Receive,
        Self::Extend,
        Self::Ack,
        Self::Depth,
    ];

    /// The name in errors and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::PutStream => "put_stream",
            Self::Get => "get",
            Self::Head => "head",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::List => "list",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::Extend => "extend",
            Self::Ack => "ack",
            Self::Depth => "depth",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_stands_at_its_own_number() {
        for (number, operation) in Operation::ALL.into_iter().enumerate() {
            assert_eq!(operation as usize, number, "{}", operation.name());
        }
    }
}
