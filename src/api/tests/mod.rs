//! The API as its callers meet it.

mod admin;
mod audit;
mod changing;
mod channel_changes;
mod exports;
mod files;
mod http;
mod inbox;
mod lists;
mod rights;
mod search;
mod teams;
mod writing;
