//! Between a channel's settings and how they are kept, with their secrets sealed.

use std::collections::{BTreeMap, BTreeSet};

use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::{Kind, Secret, Settings};

use super::wanted::BadField;
use crate::channels::{OpenChannel, SetUpIn};
use crate::seal::{Place, SealError, Sealer};
use crate::store::entry::{ChannelEntry, ChannelSetup, KeptSetting};

/// The values of settings, by key.
pub(super) type Values = BTreeMap<String, SettingValue>;

/// What is kept of one setting of the channel `channel`.
pub(super) fn kept(
    sealer: &Sealer,
    channel: &str,
    setting: &str,
    value: &SettingValue,
) -> Result<KeptSetting, SealError> {
    Ok(match value {
        SettingValue::Text(text) => KeptSetting::Text(text.clone()),
        SettingValue::Flag(flag) => KeptSetting::Flag(*flag),
        SettingValue::List(items) => KeptSetting::List(items.clone()),
        SettingValue::Secret(secret) => {
            KeptSetting::Sealed(sealer.seal(Place { channel, setting }, secret)?)
        }
    })
}

/// The value of what is kept of one setting.
pub(super) fn value(
    sealer: &Sealer,
    channel: &str,
    setting: &str,
    kept: &KeptSetting,
) -> Result<SettingValue, SealError> {
    Ok(match kept {
        KeptSetting::Text(text) => SettingValue::Text(text.clone()),
        KeptSetting::Flag(flag) => SettingValue::Flag(*flag),
        KeptSetting::List(items) => SettingValue::List(items.clone()),
        KeptSetting::Sealed(sealed) => {
            SettingValue::Secret(sealer.open(Place { channel, setting }, sealed)?)
        }
    })
}

/// The values of everything that is kept; those that do not open are told, each by its setting.
pub(super) fn values(
    sealer: &Sealer,
    channel: &str,
    settings: &BTreeMap<String, KeptSetting>,
) -> (Values, Vec<BadField>) {
    let (mut values, mut bad) = (Values::new(), Vec::new());
    for (setting, kept) in settings {
        match value(sealer, channel, setting, kept) {
            Ok(value) => {
                values.insert(setting.clone(), value);
            }
            Err(error) => bad.push(BadField::setting(setting, error.to_string())),
        }
    }
    (values, bad)
}

/// Opens a channel with these values. What is missing is told at once, but for `refused`, which was told already; then
/// what the description refuses, and last what the connector itself does.
pub(super) fn opened(
    kind: Kind,
    entry: &ChannelEntry,
    values: Values,
    setup: &ChannelSetup,
    webhook_secret: Secret,
    refused: &BTreeSet<&str>,
) -> Result<OpenChannel, Vec<BadField>> {
    let missing = kind.settings.iter().filter(|setting| {
        setting.required && setting.default.is_none() && !values.contains_key(setting.key)
    });
    let missing: Vec<_> = missing.map(|setting| (setting.key, setting.help)).collect();
    if !missing.is_empty() || !refused.is_empty() {
        let missing = missing
            .into_iter()
            .filter(|(key, _)| !refused.contains(key));
        let told =
            missing.map(|(key, help)| BadField::setting(key, format!("is missing: {help}.")));
        return Err(told.collect());
    }
    let problem = |problem| vec![BadField::from(problem)];
    let settings =
        Settings::checked(kind.settings, values, setup.api_base.clone()).map_err(problem)?;
    let settings = settings.with_webhook_secret(webhook_secret);
    let mut channel =
        OpenChannel::open(entry.no, &entry.id, &entry.name, kind, settings).map_err(problem)?;
    channel.catch_up = setup.catch_up;
    channel.set_up_in = SetUpIn::Api;
    Ok(channel)
}

/// The same setup with everything sealed by the present key that opens; `None` where nothing changes.
pub(super) fn resealed(
    sealer: &Sealer,
    channel: &str,
    setup: &ChannelSetup,
) -> Option<ChannelSetup> {
    let mut after = setup.clone();
    let mut changed = false;
    for (setting, kept) in &mut after.settings {
        let KeptSetting::Sealed(sealed) = kept else {
            continue;
        };
        if sealer.is_current(sealed) {
            continue;
        }
        let place = Place { channel, setting };
        let anew = sealer
            .open(place, sealed)
            .and_then(|secret| sealer.seal(place, &secret));
        // What does not open stays as it is: with the right key it may open some day.
        if let Ok(anew) = anew {
            *sealed = anew;
            changed = true;
        }
    }
    changed.then_some(after)
}
