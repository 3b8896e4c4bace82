//! The room that is left on the data directory's disk.

use crate::context::Context;

/// Less is free than is kept in reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the machine has only {free} MB of disk left and keeps {reserve} MB in reserve (PAAS_DISK_RESERVE); free some and try again"
)]
pub struct Scarce {
    /// MiB that are free.
    pub free: u64,
    /// MiB that must stay free.
    pub reserve: u64,
}

/// Whether there is room for something new.
pub fn enough(cx: &Context) -> Result<(), Scarce> {
    let reserve = cx.config().disk_reserve_mib;
    // A disk that can't be looked at is not taken for a full one.
    let free = rustix::fs::statvfs(&cx.config().data_dir)
        .map(|disk| (disk.f_bavail.saturating_mul(disk.f_frsize)) >> 20)
        .unwrap_or(u64::MAX);
    if free < reserve { Err(Scarce { free, reserve }) } else { Ok(()) }
}
