//! Variables over the file.

use super::*;
use crate::config::keys;

const FILE: &str = r#"
[[channels]]
id = "shop-page"
connector = "messenger"
app_id = "1"
page_id = "2"
app_secret = "of the file"

[[channels]]
id = "post"
connector = "email"
address = "shop@example.com"
[channels.imap]
host = "mail.example.com"
"#;

#[test]
fn variables_replace_what_the_file_says() {
    let config = Shop::new(FILE)
        .with("DESKBELL__PUBLIC_URL", "https://desk.example.com")
        .with("DESKBELL__TRUSTED_PROXIES", "127.0.0.1/32, ::1")
        .with("DESKBELL__STORE__CACHE_MIB", "1_024")
        .with("DESKBELL__LOG__FORMAT", "\"json\"")
        .with("DESKBELL__AUTH__BOOTSTRAP_TOKEN", "{ env = \"TOKEN\" }")
        .with(
            "DESKBELL__SECRETS__KEY",
            "{not a table}, but a secret of its own",
        )
        .with("DESKBELL__HOOKS__ALLOW_PRIVATE_ADDRESSES", "true")
        .with("DESKBELL__HOOKS__RETRY", "")
        .with("DESKBELL__BELL__STEPS", "[\"0s\", '5s']")
        .with("DESKBELL__CHANNELS__SHOP_PAGE__PAGE_ID", "777")
        .with(
            "DESKBELL__CHANNELS__SHOP_PAGE__APP_SECRET",
            "of the environment",
        )
        .with("DESKBELL__CHANNELS__SHOP_PAGE__CATCH_UP", "false")
        .with("DESKBELL__CHANNELS__POST__IMAP__HOST", "other.example.com")
        .with(
            "DESKBELL__CHANNELS__POST__IMAP__PASSWORD",
            "{ file = \"/missing\" ",
        )
        .with("TOKEN", "dbk_12345678901234567890")
        // The command line's own, and other programs'.
        .with("DESKBELL_SERVER", "https://elsewhere.example.com")
        .with("DESKBELL_TOKEN", "x")
        .with("DESKBELL_CONFIG", "x")
        .with("OTHER__LISTEN", "x")
        .config();
    assert!(config.public_url.is_some());
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.store.cache_mib, 1024);
    assert_eq!(config.log.format, LogFormat::Json);
    let token = config.auth.bootstrap_token.as_ref().expect("given");
    assert_eq!(token.expose(), "dbk_12345678901234567890");
    let key = config.secrets.key.as_ref().expect("given");
    assert_eq!(key.expose(), "{not a table}, but a secret of its own");
    assert!(config.hooks.allow_private_addresses);
    assert!(config.hooks.retry.is_empty());
    assert_eq!(config.bell.steps, [0, 5].map(Duration::from_secs));
    let [page, post] = config.channels.as_slice() else {
        panic!("two channels");
    };
    assert_eq!(page.settings.text("page_id"), Some("777"));
    assert_eq!(page.settings.text("app_id"), Some("1"));
    let secret = page.settings.required_secret("app_secret").expect("given");
    assert_eq!(secret.expose(), "of the environment");
    assert!(!page.catch_up);
    assert!(post.catch_up);
    assert_eq!(post.settings.text("imap.host"), Some("other.example.com"));
    let password = post
        .settings
        .required_secret("imap.password")
        .expect("given");
    assert_eq!(password.expose(), "{ file = \"/missing\" ");
}

#[test]
fn the_first_website_can_be_changed_without_a_file() {
    let config = Shop::without_file()
        .with("DESKBELL__LISTEN", "0.0.0.0:80")
        .with(
            "DESKBELL__CHANNELS__WEBSITE__ALLOWED_ORIGINS",
            "https://a.example,https://b.example",
        )
        .config();
    assert_eq!(config.source, Source::Nothing);
    let origins = config.channels[0].settings.list("allowed_origins");
    assert_eq!(
        origins,
        Some(
            [
                "https://a.example".to_owned(),
                "https://b.example".to_owned()
            ]
            .as_slice()
        )
    );
}

#[test]
fn ids_that_look_like_keys_are_told_apart() {
    let config = Shop::new(
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\n\
         [[channels]]\nid = \"a--b\"\nconnector = \"webchat\"\n\
         [[channels]]\nid = \"a-\"\nconnector = \"webchat\"\n",
    )
    .with("DESKBELL__CHANNELS__A__NAME", "first")
    .with("DESKBELL__CHANNELS__A__B__NAME", "second")
    .with("DESKBELL__CHANNELS__A___NAME", "third")
    .config();
    let names: Vec<&str> = config
        .channels
        .iter()
        .map(|channel| channel.name.as_str())
        .collect();
    assert_eq!(names, ["first", "second", "third"]);
}

#[test]
fn variables_that_do_not_do_are_named() {
    let shop = Shop::new(FILE)
        .with("DESKBELL__LISTEN", "localhost:8080")
        .with("DESKBELL__LISTN", "127.0.0.1:80")
        .with("DESKBELL__STORE", "sled")
        .with("DESKBELL__STORE__CACHE_MIB", "much")
        .with("DESKBELL__STORE__ENGINE", "")
        .with("DESKBELL__STORE__CACHE_MIB__X", "1")
        .with("DESKBELL__log__level", "info")
        .with("DESKBELL___LOG__LEVEL\n", "info")
        .with("DESKBELL__WHATEVER", "1")
        .with("DESKBELL__CHANNELS", "[]")
        .with("DESKBELL__HOOKS__ALLOW_PRIVATE_ADDRESSES", "yes")
        .with("DESKBELL__HOOKS__RETRY", "1s,,2s")
        .with("DESKBELL__AUTH__BOOTSTRAP_TOKEN", "")
        .with("DESKBELL__SECRETS__KEY", "{ env = \"NOT_SET\" }")
        .with("DESKBELL__DATA_DIR", "d\u{fffd}ta")
        .with("DESKBELL__CHANNELS__SHOP_PAGE__ID", "other")
        .with("DESKBELL__CHANNELS__SHOP_PAGE__PAGEID", "1")
        .with("DESKBELL__CHANNELS__OTHER__PAGE_ID", "1")
        .with("DESKBELL__CHANNELS__POST__ADDRESS__X", "1")
        .with("DESKBELL__CHANNELS__POST__IMAP", "1");
    assert_eq!(
        shop.errors(),
        [
            "environment variable DESKBELL__AUTH__BOOTSTRAP_TOKEN: auth.bootstrap_token: is empty",
            "environment variable DESKBELL__CHANNELS: unknown; a channel's key is changed by DESKBELL__CHANNELS__ID__KEY",
            "environment variable DESKBELL__CHANNELS__OTHER__PAGE_ID: no such channel or key; variables of the channels begin with DESKBELL__CHANNELS__SHOP_PAGE__…, DESKBELL__CHANNELS__POST__…",
            "environment variable DESKBELL__CHANNELS__POST__ADDRESS__X: unknown; no such section is in the channel",
            "environment variable DESKBELL__CHANNELS__POST__IMAP: channels[1].imap: expected a table written [channels.imap], found a text",
            "environment variable DESKBELL__CHANNELS__SHOP_PAGE__ID: the id of a channel can only be changed in the file",
            "environment variable DESKBELL__CHANNELS__SHOP_PAGE__PAGEID: channels[0].pageid: unknown key; did you mean page_id?",
            "environment variable DESKBELL__DATA_DIR: is not UTF-8",
            "environment variable DESKBELL__HOOKS__ALLOW_PRIVATE_ADDRESSES: hooks.allow_private_addresses: expected true or false, found a text",
            "environment variable DESKBELL__HOOKS__RETRY: hooks.retry[1]: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"",
            "environment variable DESKBELL__LISTEN: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
            "environment variable DESKBELL__LISTN: unknown; did you mean DESKBELL__LISTEN?",
            "environment variable DESKBELL__SECRETS__KEY: secrets.key: the environment variable NOT_SET is not set",
            "environment variable DESKBELL__STORE: is a whole section; set DESKBELL__STORE__ENGINE or DESKBELL__STORE__URL or DESKBELL__STORE__CACHE_MIB or DESKBELL__STORE__KEEP_DAYS",
            "environment variable DESKBELL__STORE__CACHE_MIB: store.cache_mib: expected a whole number from 16 to 65536, found a text",
            "environment variable DESKBELL__STORE__CACHE_MIB__X: unknown; did you mean DESKBELL__STORE__CACHE_MIB?",
            "environment variable DESKBELL__STORE__ENGINE: store.engine: must be \"sled\"",
            "environment variable DESKBELL__WHATEVER: unknown; variables are written DESKBELL__SECTION__KEY, such as DESKBELL__STORE__CACHE_MIB",
            "environment variable DESKBELL___LOG__LEVEL\\n: unknown; did you mean DESKBELL__LOG__LEVEL?",
            "environment variable DESKBELL__log__level: unknown; did you mean DESKBELL__LOG__LEVEL?",
        ]
    );
}

#[test]
fn every_key_has_its_variable() {
    let names =
        keys::TOP
            .iter()
            .map(|key| (*key).to_owned())
            .chain(keys::SECTIONS.iter().flat_map(|(section, section_keys)| {
                section_keys
                    .iter()
                    .map(move |key| format!("{}__{key}", section.replace('.', "__")))
            }));
    for name in names {
        let variable = format!("DESKBELL__{}", name.to_ascii_uppercase());
        for error in Shop::without_file().with(&variable, "-").errors() {
            assert!(!error.contains("unknown"), "{error}");
        }
        let shop = Shop::without_file().with(&variable, "\u{fffd}");
        assert_eq!(
            shop.errors(),
            [format!("environment variable {variable}: is not UTF-8")]
        );
    }
}

#[test]
fn the_environment_of_this_process_is_read() {
    let environment = crate::config::process_environment();
    assert!(environment.contains_key("PATH") || environment.contains_key("CARGO_MANIFEST_DIR"));
}
