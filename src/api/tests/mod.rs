//! The API as its callers meet it.

mod admin;
mod audit;
mod changing;
mod channel_changes;
mod devices;
mod exports;
mod files;
mod flips;
mod hours;
mod http;
mod inbox;
mod lists;
mod mails;
mod matrix;
mod oidc;
mod people;
mod rights;
mod search;
mod sign_in;
mod tampering;
mod teams;
mod tokens;
mod two_factor;
mod working;
mod writing;
