//! What can go wrong on an engine, in its own words.

use thiserror::Error;

/// A failed engine call: what failed, why, what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EngineError {
    /// Nobody answers, or the connection broke. Worth repeating later.
    #[error(
        "The Docker engine does not answer ({why}). \
         Start it (`systemctl start docker`) or point PAAS_DOCKER_HOST at it; running dynos are looked after again once it is back."
    )]
    Unavailable {
        /// What the connection said.
        why: String,
    },
    /// The image is not on the engine.
    #[error(
        "The image {image} is not on the Docker engine. Make or pull it; `paasd doctor` lists what is missing and how to get it."
    )]
    NoSuchImage {
        /// Name and tag.
        image: String,
    },
    /// No room: memory, disk, addresses, processes.
    #[error(
        "The machine has no room for this: {what}. Scale something down, remove what is not needed, or take a larger machine."
    )]
    OutOfResources {
        /// What ran out.
        what: String,
    },
    /// The thing named is not there (only from calls that need it there).
    #[error("There is no {what} on the engine.")]
    NotFound {
        /// A dyno, service or network with its id.
        what: String,
    },
    /// A new one was asked for, and there is one.
    #[error("{what} is there already.")]
    AlreadyThere {
        /// A dyno with its id.
        what: String,
    },
    /// Can't be removed because others hold it.
    #[error("{what} is still used by {by}. Remove these first.")]
    InUse {
        /// What was to be removed.
        what: String,
        /// Names of those that hold it.
        by: String,
    },
    /// A file or directory of the data dir could not be made, changed or removed.
    #[error("{action} failed: {why}. Check the disk and the rights of the data directory.")]
    Disk {
        /// What was tried, with its path.
        action: String,
        /// What the system said.
        why: String,
    },
    /// A setting of the engine is wrong.
    #[error("{0}")]
    Setting(String),
    /// The engine refused for another reason.
    #[error("Docker refused to {action}: {why}")]
    Other {
        /// What was tried, as an infinitive: "start the container …".
        action: String,
        /// What the engine said.
        why: String,
    },
}

impl EngineError {
    /// Whether the same call may succeed later without anybody changing the spec.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::OutOfResources { .. } | Self::InUse { .. } | Self::Disk { .. } => true,
            Self::NoSuchImage { .. }
            | Self::NotFound { .. }
            | Self::AlreadyThere { .. }
            | Self::Setting(_)
            | Self::Other { .. } => false,
        }
    }

    /// A failed file operation on `path`.
    pub(crate) fn disk(action: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::Disk { action: format!("{action} {}", path.display()), why: error.to_string() }
    }
}
