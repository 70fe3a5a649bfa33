//! The daemon from outside: the real program, with its store on a disk, against strict stand-ins of the platforms. One
//! test program of all of it, so that `support` is built and the daemon linked once; each subject is a module of its own:
//! `cargo test --test daemon bell::`.

mod backup;
mod bell;
mod catch_up;
mod channels;
mod cli;
mod connections;
mod crash;
mod export;
mod hooks;
mod lost_rows;
mod media;
mod openapi;
mod outbox;
mod people;
mod replay;
mod secrets;
mod stream;
mod support;
mod telegram;
mod telling;
mod virus_check;
mod visitors;
mod webhooks;
