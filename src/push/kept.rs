//! What the store keeps for Web Push: the desk's own key, made once, and the subscriptions; both sealed (K01), and sealed
//! anew where the daemon's key was changed (K02).

use crate::desk::devices::{EnsurePushKey, Reseal};
use crate::id::UserId;
use crate::seal::{Place, Sealer};
use crate::store::entry::{DevicesEntry, Entry, PushKeyEntry};
use crate::store::{Found, Read};
use crate::writer::Writer;

use super::Vapid;

/// The desk's key; it is made where there is none. `None`: it cannot be opened, and then the string says why.
///
/// # Errors
/// The store cannot be read or written.
pub async fn key(
    store: &dyn Read,
    writer: &Writer,
    sealer: &Sealer,
    subject: &str,
) -> anyhow::Result<Result<Vapid, String>> {
    let kept = match PushKeyEntry::get(store, PushKeyEntry::KEY)? {
        Some(kept) => kept,
        None => {
            let private = Vapid::new_private();
            let made = Vapid::from_private(&private, subject.to_owned());
            let made = made.ok_or_else(|| anyhow::anyhow!("a new key is none"))?;
            let new = PushKeyEntry {
                private: sealer.seal(Place::PUSH_KEY, &private)?,
                public: made.public().to_vec(),
            };
            writer.write(EnsurePushKey { new }).await?
        }
    };
    let private = match sealer.open(Place::PUSH_KEY, &kept.private) {
        Ok(private) => private,
        Err(error) => return Ok(Err(error.to_string())),
    };
    if !sealer.is_current(&kept.private) {
        let anew = PushKeyEntry {
            private: sealer.seal(Place::PUSH_KEY, &private)?,
            public: kept.public.clone(),
        };
        writer.write(Reseal::PushKey(anew)).await?;
    }
    let vapid = Vapid::from_private(&private, subject.to_owned());
    Ok(vapid.ok_or_else(|| "is none of the curve's".to_owned()))
}

/// Seals subscriptions anew that a former key sealed. How many no key opens.
///
/// # Errors
/// The store cannot be read.
pub async fn seal_anew(store: &dyn Read, writer: &Writer, sealer: &Sealer) -> Found<usize> {
    let mut lost = 0;
    for (key, devices) in DevicesEntry::scan(store, &[], None, usize::MAX)? {
        let Ok(key) = key.as_slice().try_into() else {
            continue;
        };
        let user = UserId(u64::from_be_bytes(key));
        for device in devices.devices {
            let (Some(before), Some(endpoint)) = (device.subscription, device.endpoint) else {
                continue;
            };
            if sealer.is_current(&before) {
                continue;
            }
            let endpoint = hex::encode(&endpoint);
            let place = Place::subscription(&endpoint);
            let opened = sealer.open(place, &before);
            let Ok(after) = opened.and_then(|secret| sealer.seal(place, &secret)) else {
                lost += 1;
                continue;
            };
            let reseal = Reseal::Subscription {
                user,
                device: device.id,
                before,
                after,
            };
            if let Err(error) = writer.write(reseal).await {
                tracing::warn!(%error, "a subscription could not be sealed anew; the next start tries again");
            }
        }
    }
    Ok(lost)
}
