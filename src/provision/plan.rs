//! What a wanted channel or change comes to: how it is kept, and the channel itself, opened. Nothing is done here.

use std::collections::{BTreeMap, BTreeSet};

use deskbell_sdk::{Kind, Time};

use super::setup::{Values, kept, opened, values};
use super::wanted::{self, BadField};
use super::{Change, NewChannel, Provisioner};
use crate::channels::OpenChannel;
use crate::config::{checked_address, checked_name, is_slug};
use crate::secrets::webhook_secret;
use crate::store::entry::{ChannelEntry, ChannelSetup, KeptSetting};
use crate::store::record::ChannelNo;

/// What will be.
#[derive(Debug)]
pub(super) struct Plan {
    /// The channel as it is known.
    pub(super) entry: ChannelEntry,
    /// How it is kept.
    pub(super) setup: ChannelSetup,
    /// The channel, opened.
    pub(super) channel: OpenChannel,
}

impl Provisioner {
    /// A new channel of this number; else every field that does not do.
    pub(super) fn planned(
        &self,
        new: NewChannel,
        no: ChannelNo,
        now: Time,
    ) -> Result<Plan, Vec<BadField>> {
        let mut bad = Vec::new();
        if !is_slug(&new.id) {
            let detail = "must be 1 to 63 of a-z, 0-9 and `-`, and begin with a letter or digit, such as `shop-page`.";
            bad.push(BadField::new("/id", detail));
        }
        let Some(kind) = self.kind(&new.connector) else {
            let known: Vec<_> = self.kinds.iter().map(|kind| kind.id).collect();
            let detail = format!("is unknown; this version has {}.", known.join(", "));
            bad.push(BadField::new("/connector", detail));
            return Err(bad);
        };
        let name = checked_name(new.name.as_deref().unwrap_or(kind.title));
        let name = field(&mut bad, "/name", name).unwrap_or_default();
        let api_base = new.api_base.as_deref();
        let api_base = api_base.and_then(|base| address(&mut bad, kind, base));
        let wanted = wanted::read(kind.settings, &[], new.settings);
        bad.extend(wanted.bad);
        let given = wanted.given.into_iter();
        let values: Values = given
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        let setup = ChannelSetup {
            connector: kind.id.to_owned(),
            name: name.clone(),
            settings: self.sealed(&new.id, &values, &mut bad),
            api_base,
            catch_up: new.catch_up,
            changed_at: now,
        };
        let entry = ChannelEntry {
            no,
            id: new.id,
            connector: kind.id.to_owned(),
            name,
            created_at: now,
        };
        self.plan(kind, entry, setup, values, bad, &wanted.refused)
    }

    /// A change of a channel that is kept like this; else every field that does not do.
    pub(super) fn planned_change(
        &self,
        known: &ChannelEntry,
        before: &ChannelSetup,
        change: Change,
    ) -> Result<Plan, Vec<BadField>> {
        let Some(kind) = self.kind(&before.connector) else {
            let detail = "This version of Deskbell has not got the channel's connector.";
            return Err(vec![BadField::new("", detail)]);
        };
        let (mut bad, mut after) = (Vec::new(), before.clone());
        if let Some(name) = &change.name {
            let name = field(&mut bad, "/name", checked_name(name));
            after.name = name.unwrap_or_default();
        }
        if let Some(api_base) = &change.api_base {
            let api_base = api_base.as_deref();
            after.api_base = api_base.and_then(|base| address(&mut bad, kind, base));
        }
        after.catch_up = change.catch_up.unwrap_or(before.catch_up);
        let kept_keys: Vec<_> = before.settings.keys().collect();
        let wanted = wanted::read(kind.settings, &kept_keys, change.settings);
        bad.extend(wanted.bad);
        let mut given = Values::new();
        for (key, value) in wanted.given {
            after.settings.remove(&key);
            if let Some(value) = value {
                given.insert(key, value);
            }
        }
        let mut refused = wanted.refused;
        after
            .settings
            .retain(|key, _| !refused.contains(key.as_str()));
        // What stays is opened, so that the connector sees the whole; what does not open has to be given anew.
        let (mut all, unopened) = values(&self.sealer, &known.id, &after.settings);
        let described = kind.settings.iter().map(|setting| setting.key);
        refused.extend(
            described.filter(|key| after.settings.contains_key(*key) && !all.contains_key(*key)),
        );
        bad.extend(unopened);
        let sealed = self.sealed(&known.id, &given, &mut bad);
        after.settings.extend(sealed);
        all.extend(given);
        let entry = ChannelEntry {
            name: after.name.clone(),
            connector: before.connector.clone(),
            ..known.clone()
        };
        self.plan(kind, entry, after, all, bad, &refused)
    }

    fn plan(
        &self,
        kind: Kind,
        entry: ChannelEntry,
        setup: ChannelSetup,
        values: Values,
        mut bad: Vec<BadField>,
        refused: &BTreeSet<&str>,
    ) -> Result<Plan, Vec<BadField>> {
        let secret = webhook_secret(&self.key, &entry.id);
        match opened(kind, &entry, values, &setup, secret, refused) {
            Ok(channel) if bad.is_empty() => Ok(Plan {
                entry,
                setup,
                channel,
            }),
            Ok(_) => Err(bad),
            Err(more) => {
                bad.extend(more);
                Err(bad)
            }
        }
    }

    /// Settings as they are kept.
    fn sealed(
        &self,
        id: &str,
        values: &Values,
        bad: &mut Vec<BadField>,
    ) -> BTreeMap<String, KeptSetting> {
        let mut settings = BTreeMap::new();
        for (key, value) in values {
            match kept(&self.sealer, id, key, value) {
                Ok(kept) => {
                    settings.insert(key.clone(), kept);
                }
                Err(error) => bad.push(BadField::setting(key, error.to_string())),
            }
        }
        settings
    }
}

/// The platform's address, where the connector has one.
fn address(bad: &mut Vec<BadField>, kind: Kind, base: &str) -> Option<String> {
    if kind.api_base.is_none() {
        let detail = format!("{} calls nobody, so it has no api_base.", kind.id);
        bad.push(BadField::new("/api_base", detail));
        return None;
    }
    field(bad, "/api_base", checked_address(base))
}

fn field<T>(bad: &mut Vec<BadField>, pointer: &str, checked: Result<T, String>) -> Option<T> {
    checked
        .map_err(|detail| bad.push(BadField::new(pointer, format!("{detail}."))))
        .ok()
}
