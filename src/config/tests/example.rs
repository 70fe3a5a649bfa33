//! The documented example.

use super::*;
use crate::config::keys;

const EXAMPLE: &str = include_str!("../../../docs/deskbell.example.toml");

/// The example with its settings that have no default: those after a `#` without a space.
fn with_everything() -> String {
    let uncommented = EXAMPLE.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    uncommented.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_is_what_holds_without_it() {
    let written = Shop::new(EXAMPLE).config();
    let built_in = Shop::without_file().config();
    assert_eq!(written.channels.len(), 1);
    let without_place = |config: Config| {
        let channels = config.channels.into_iter();
        let channels = channels.map(|channel| super::super::ChannelConfig {
            origin: Origin::BuiltIn,
            ..channel
        });
        let channels = channels.collect();
        format!(
            "{:?}",
            Config {
                channels,
                source: Source::Nothing,
                ..config
            }
        )
    };
    assert_eq!(without_place(written), without_place(built_in));
}

#[test]
fn the_example_is_good_with_everything_in_it() {
    let everything = with_everything()
        .replace("/run/secrets/", "")
        .replace("/etc/deskbell/", "")
        .replace("/usr/local/bin/lamp", "/bin/sh");
    let mut shop = Shop::new(&everything);
    for variable in [
        "DESKBELL_STORE_URL",
        "DESKBELL_BOOTSTRAP_TOKEN",
        "CHAT_IDENTITY_SECRET",
        "PAGE_TOKEN",
        "APP_SECRET",
        "VERIFY_TOKEN",
        "OIDC_SECRET",
        "SMTP_PASSWORD",
    ] {
        shop = shop.with(variable, "12345678901234567890");
    }
    shop = shop.with("BOT_TOKEN", "123456789:AAinvented");
    for file in ["deskbell.key", "deskbell-old.key", "cert.pem", "key.pem"] {
        shop.write(file, b"0123456789abcdef0123456789abcdef");
    }
    let config = shop.config();
    assert_eq!((config.channels.len(), config.hooks.commands.len()), (3, 1));
    assert!(config.tls.is_some() && config.auth.oidc.is_some() && config.smtp.is_some());
}

#[test]
fn every_key_is_in_the_example() {
    let everything = with_everything();
    let document: toml::Table = everything.parse().expect("valid TOML");
    for key in keys::TOP {
        assert!(document.contains_key(*key), "{key}");
    }
    for (section, section_keys) in keys::SECTIONS {
        let mut names = section.split('.');
        let outer = &document[names.next().expect("a name")];
        let table = names.fold(outer, |table, name| &table[name]);
        for key in *section_keys {
            assert!(table.get(key).is_some(), "{section}.{key}");
        }
    }
    for key in keys::COMMAND {
        assert!(
            document["hooks"]["command"][0].get(key).is_some(),
            "hooks.command.{key}"
        );
    }
    let channels = document[keys::CHANNELS].as_array().expect("a list");
    for key in keys::CHANNEL {
        assert!(
            channels.iter().any(|channel| channel.get(key).is_some()),
            "{key}"
        );
    }
    for (line, before) in everything.lines().skip(1).zip(everything.lines()) {
        let setting = line.split(" = ").next().unwrap_or_default();
        let of_section = keys::TOP.contains(&setting)
            || keys::SECTIONS
                .iter()
                .any(|(_, keys)| keys.contains(&setting));
        assert!(
            !of_section || before.starts_with("# "),
            "{line} has no line that explains it"
        );
    }
}
