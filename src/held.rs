//! Whether anything may go out: not after a restore, until somebody says so.

use tokio::sync::watch;

/// Holds back what would go out; cheap to clone.
#[derive(Clone, Debug)]
pub struct Held(watch::Sender<bool>);

impl Held {
    /// Held or not.
    #[must_use]
    pub fn new(held: bool) -> Self {
        Self(watch::Sender::new(held))
    }

    /// Whether nothing may go out.
    #[must_use]
    pub fn is_held(&self) -> bool {
        *self.0.borrow()
    }

    /// From now on all may go out.
    pub fn release(&self) {
        self.0.send_replace(false);
    }

    /// Waits until all may go out.
    pub async fn released(&self) {
        // The sender is here, so that it cannot be gone.
        let _ = self.0.subscribe().wait_for(|held| !held).await;
    }
}
