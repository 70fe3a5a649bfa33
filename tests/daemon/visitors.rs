//! The website chat against the real daemon: who gets in, what they see, and that what they write arrives once.

mod arrival;
mod files;
mod flood;
mod identity;
mod isolation;
mod origins;
mod visitor;
