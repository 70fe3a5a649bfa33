//! Telling a platform where to deliver.

use crate::client::{BoxFuture, CallError, Http};
use crate::health::Finding;

/// Makes a platform deliver to this daemon, and stop.
pub trait Register: Send + Sync {
    /// Whether the daemon registers the channel by itself, at the start and when it finds it replaced; else only where
    /// a person asks for it.
    fn by_itself(&self) -> bool {
        false
    }

    /// The kinds of events that the channel wants delivered. Where channels share an app, the union is registered.
    fn wants(&self) -> Vec<&'static str>;

    /// Makes the platform deliver `events` to `callback_url`. It may be called again at any time.
    fn register<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<(), CallError>>;

    /// Reads back what is registered and compares: a finding for each thing that could differ.
    fn registered<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<Vec<Finding>, CallError>>;

    /// Undoes it. `app_is_shared`: other channels of the app still want deliveries.
    fn unregister<'a>(
        &'a self,
        http: &'a dyn Http,
        app_is_shared: bool,
    ) -> BoxFuture<'a, Result<(), CallError>>;
}
