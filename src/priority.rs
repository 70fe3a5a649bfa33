//! How much a thread gives way to the others.

/// As much as can be: under a full load it stands nearly still.
pub const LEAST: i32 = 19;
/// A tenth of what another thread gets, where there is not enough for all.
pub const LOW: i32 = 10;

/// Lets this thread give way, and those that it starts from here on. There is no way back.
pub fn give_way(niceness: i32) {
    if let Err(error) =
        rustix::process::setpriority_process(Some(rustix::thread::gettid()), niceness)
    {
        tracing::debug!(%error, "a thread runs with the priority of the rest");
    }
}
