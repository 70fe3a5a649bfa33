//! How much a thread gives way to the others.

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

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

/// Lets this thread run only where no other wants its core: whoever wakes up there goes on at once, while
/// [`give_way`] lets it wait until the kernel's next tick, which may be 4 ms. While all cores are wanted it stands still
/// but for a three-hundredth of one. There is no way back.
pub fn only_in_spare_time() {
    if let Err(error) = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle),
    ) {
        tracing::debug!(?error, "a thread cannot run in spare time only");
        give_way(LEAST);
    }
}
