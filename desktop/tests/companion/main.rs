//! The companion as it is built: alone against servers of our own, and on a desktop against the built daemon.

mod desk;
mod follow;
mod pairing;
mod support;
