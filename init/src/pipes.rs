//! Room in the pipes that the dyno writes to: while Docker's engine is away (it restarts, say),
//! nobody reads them, and whoever writes into a full pipe stands still.

use nix::fcntl::{FcntlArg, fcntl};

/// As much as the kernel lets everybody have (`/proc/sys/fs/pipe-max-size` as it comes); without asking it is
/// 64 KiB.
const BYTES: i32 = 1 << 20;

/// Makes room. Where it is not to be had (the pages that all of the user's pipes may have are
/// spoken for) or there is no pipe but a terminal, everything stays as it is.
pub(crate) fn widen() {
    let _ = fcntl(std::io::stdout(), FcntlArg::F_SETPIPE_SZ(BYTES));
    let _ = fcntl(std::io::stderr(), FcntlArg::F_SETPIPE_SZ(BYTES));
}
