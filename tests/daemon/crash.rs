//! What must survive: a daemon that is killed, whose power is cut, whose disk refuses, is slow, full or damaged, or
//! that has hardly any memory. Each test is a harness that is first shown a planted fault; docs/proofs.md says how, how
//! to run the long forms, and what they found.

mod damage;
#[cfg(target_os = "linux")]
mod disk;
#[cfg(target_os = "linux")]
mod full_disk;
mod kills;
#[cfg(target_os = "linux")]
mod limits;
mod load;
#[cfg(target_os = "linux")]
mod power;
#[cfg(target_os = "linux")]
mod refusals;
#[cfg(target_os = "linux")]
mod syscalls;
mod verdict;
