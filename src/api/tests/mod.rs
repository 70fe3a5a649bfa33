//! The API as its callers meet it.

mod admin;
mod changing;
mod channel_changes;
mod exports;
mod files;
mod http;
mod inbox;
mod lists;
mod rights;
mod writing;
