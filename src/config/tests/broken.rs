//! Broken configurations, each with everything that is said about it.

use proptest::prelude::*;

use super::*;

/// A file, and its errors.
type Broken = (&'static str, &'static [&'static str]);

/// What is no TOML.
const SYNTAX: &[Broken] = &[
    (
        "listen = ",
        &["deskbell.toml:1:10: not valid TOML: string values must be quoted"],
    ),
    (
        "listen = 127.0.0.1:8080",
        &["deskbell.toml:1:15: not valid TOML: invalid float; a text must be in quotes"],
    ),
    (
        "[store\ncache_mib = 1",
        &["deskbell.toml:1:7: not valid TOML: unclosed table, expected `]`"],
    ),
    (
        "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"",
        &["deskbell.toml:2:1: listen: not valid TOML: duplicate key"],
    ),
    (
        "x y\n\n[auth\n",
        &[
            "deskbell.toml:1:3: not valid TOML: key with no value, expected `=`",
            "deskbell.toml:3:6: not valid TOML: unclosed table, expected `]`",
        ],
    ),
    (
        "channels = []\n[[channels]]",
        &["deskbell.toml:2:3: channels: not valid TOML: duplicate key"],
    ),
];

/// Keys before the first section.
const BEFORE_SECTIONS: &[Broken] = &[
    (
        "lisetn = \"127.0.0.1:8080\"",
        &["deskbell.toml:1:1: lisetn: unknown key; did you mean listen?"],
    ),
    (
        "port = 80",
        &[
            "deskbell.toml:1:1: port: unknown key; known here: listen, public_url, data_dir, trusted_proxies, store, auth, log, secrets, tls, limits, bell, hooks, attachments, smtp, channels",
        ],
    ),
    (
        "listen = \"localhost:8080\"",
        &[
            "deskbell.toml:1:10: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ],
    ),
    (
        "listen = \"127.0.0.1:99999\"",
        &[
            "deskbell.toml:1:10: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ],
    ),
    (
        "listen = 8080",
        &[
            "deskbell.toml:1:10: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\", found a whole number",
        ],
    ),
    (
        "listen = \"\"",
        &[
            "deskbell.toml:1:10: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
        ],
    ),
    (
        "public_url = \"desk.example.com\"",
        &[
            "deskbell.toml:1:14: public_url: expected an address such as \"https://www.example.com\"",
        ],
    ),
    (
        "public_url = \"ftp://desk.example.com\"",
        &["deskbell.toml:1:14: public_url: must begin with https:// or http://"],
    ),
    (
        "public_url = \"https://a:b@desk.example.com\"",
        &["deskbell.toml:1:14: public_url: must not hold a user name or password"],
    ),
    (
        "public_url = \"https://desk.example.com/?a=b\"",
        &["deskbell.toml:1:14: public_url: must end before any \"?\" or \"#\""],
    ),
    (
        "public_url = true",
        &[
            "deskbell.toml:1:14: public_url: expected an address such as \"https://www.example.com\", found true or false",
        ],
    ),
    (
        "data_dir = \"\"",
        &["deskbell.toml:1:12: data_dir: is empty"],
    ),
    (
        "data_dir = 1.5",
        &["deskbell.toml:1:12: data_dir: expected a text in quotes, found a decimal number"],
    ),
    (
        "trusted_proxies = \"127.0.0.1\"",
        &[
            "deskbell.toml:1:19: trusted_proxies: expected a list, each item an IP address or range, such as \"127.0.0.1/32\" or \"10.0.0.0/8\", found a text",
        ],
    ),
    (
        "trusted_proxies = [\"127.0.0.1/32\", \"proxy\", 1]",
        &[
            "deskbell.toml:1:36: trusted_proxies[1]: expected an IP address or range, such as \"127.0.0.1/32\" or \"10.0.0.0/8\"",
            "deskbell.toml:1:45: trusted_proxies[2]: expected an IP address or range, such as \"127.0.0.1/32\" or \"10.0.0.0/8\", found a whole number",
        ],
    ),
    (
        "store = \"sled\"",
        &["deskbell.toml:1:9: store: expected a section written [store], found a text"],
    ),
    (
        "level = \"info\"",
        &["deskbell.toml:1:1: level: unknown key here; it belongs below [log]"],
    ),
    (
        "key = \"x\"",
        &[
            "deskbell.toml:1:1: key: unknown key; known here: listen, public_url, data_dir, trusted_proxies, store, auth, log, secrets, tls, limits, bell, hooks, attachments, smtp, channels",
        ],
    ),
    (
        "\"a\\u001b[31m\\nb\" = 1",
        &[
            "deskbell.toml:1:1: \"a\\u{1b}[31m\\nb\": unknown key; known here: listen, public_url, data_dir, trusted_proxies, store, auth, log, secrets, tls, limits, bell, hooks, attachments, smtp, channels",
        ],
    ),
];

/// Keys of the sections.
const SECTIONS: &[Broken] = &[
    (
        "[store]\nengine = \"postgres\"",
        &[
            "deskbell.toml:2:10: store.engine: \"postgres\" is not built into this version of Deskbell; use \"sled\"",
        ],
    ),
    (
        "[store]\nengine = \"mysql\"",
        &["deskbell.toml:2:10: store.engine: must be \"sled\""],
    ),
    (
        "[store]\nengin = \"sled\"",
        &["deskbell.toml:2:1: store.engin: unknown key; did you mean engine?"],
    ),
    (
        "[store]\ncache_mib = 15",
        &["deskbell.toml:2:13: store.cache_mib: must be from 16 to 65536"],
    ),
    (
        "[store]\ncache_mib = 65537",
        &["deskbell.toml:2:13: store.cache_mib: must be from 16 to 65536"],
    ),
    (
        "[store]\ncache_mib = -1",
        &["deskbell.toml:2:13: store.cache_mib: must be from 16 to 65536"],
    ),
    (
        "[store]\ncache_mib = \"256\"",
        &[
            "deskbell.toml:2:13: store.cache_mib: expected a whole number from 16 to 65536, found a text",
        ],
    ),
    (
        "[store]\ncache_mib = 99999999999999999999",
        &["deskbell.toml:2:13: store.cache_mib: must be from 16 to 65536"],
    ),
    (
        "[store]\ncache_mib = 1979-05-27",
        &[
            "deskbell.toml:2:13: store.cache_mib: expected a whole number from 16 to 65536, found a date or time",
        ],
    ),
    (
        "[stroe]\ncache_mib = 256",
        &["deskbell.toml:1:2: stroe: unknown key; did you mean store?"],
    ),
    (
        "[store]\nlisten = \"127.0.0.1:80\"",
        &[
            "deskbell.toml:2:1: store.listen: unknown key here; it belongs before the first [section]",
        ],
    ),
    (
        "[auth]\nbootstrap_token = \"short\"",
        &["deskbell.toml:2:19: auth.bootstrap_token: must have at least 20 characters"],
    ),
    (
        "[auth.oidc]\nissuer = \"http://id.example.com\"\nclient_id = \"a\"",
        &[
            "deskbell.toml:1:1: auth.oidc.client_secret: is missing: [auth.oidc] needs client_secret",
            "deskbell.toml:2:10: auth.oidc.issuer: must begin with https://, so that nobody on the way can say who somebody is",
        ],
    ),
    (
        "[auth.oidc]\nissuer = \"https://id.example.com\"\nclient_id = \"a\"\nclient_secret = \"b\"\ncreate = true\nrole = \"admin\"",
        &[
            "deskbell.toml:5:10: auth.oidc.create: needs allowed_domains: without them everybody whom the provider knows could come in",
            "deskbell.toml:6:8: auth.oidc.role: must be \"agent\" or \"viewer\": administrators are made by administrators",
        ],
    ),
    (
        "[smtp]\nhost = \"mail.example.com\"\nsecurity = \"none\"\nfrom = \"nobody\"",
        &[
            "deskbell.toml:3:12: smtp.security: \"none\" is for a mail server on this machine only: invitations open accounts",
            "deskbell.toml:4:8: smtp.from: expected an e-mail address such as \"Shop <desk@example.com>\"",
        ],
    ),
    (
        "[auth]\nbootstrap_token = \"a token with spaces in it\"",
        &[
            "deskbell.toml:2:19: auth.bootstrap_token: must hold only letters, digits and punctuation of ASCII, without spaces",
        ],
    ),
    (
        "[auth]\nbootstrap_token = \"\"",
        &["deskbell.toml:2:19: auth.bootstrap_token: is empty"],
    ),
    (
        "[auth]\nbootstrap_token = 12345678901234567890",
        &[
            "deskbell.toml:2:19: auth.bootstrap_token: expected a secret: a text in quotes, { env = \"NAME\" } or { file = \"/path\" }, found a whole number",
        ],
    ),
    (
        "[auth]\nbootstrap_token = {}",
        &[
            "deskbell.toml:2:19: auth.bootstrap_token: expected a secret: a text in quotes, { env = \"NAME\" } or { file = \"/path\" }, found an empty table",
        ],
    ),
    (
        "[auth]\nbootstrap_token = { env = \"A\", file = \"b\" }",
        &["deskbell.toml:2:19: auth.bootstrap_token: has both env and file; keep one of them"],
    ),
    (
        "[auth]\nbootstrap_token = { evn = \"A\" }",
        &["deskbell.toml:2:21: auth.bootstrap_token.evn: unknown key; did you mean env?"],
    ),
    (
        "[auth]\nbootstrap_token = { vault = \"A\" }",
        &[
            "deskbell.toml:2:21: auth.bootstrap_token.vault: unknown key; a secret is given by env or file",
        ],
    ),
    (
        "[auth]\nbootstrap_token = { env = 1 }",
        &[
            "deskbell.toml:2:27: auth.bootstrap_token.env: expected a text in quotes, found a whole number",
        ],
    ),
    (
        "[auth]\nbootstrap_token = { env = \"$A\" }",
        &[
            "deskbell.toml:2:27: auth.bootstrap_token: env must be the name of an environment variable: letters, digits and _",
        ],
    ),
    (
        "[auth]\nbootstrap_token = { env = \"\" }",
        &["deskbell.toml:2:27: auth.bootstrap_token.env: is empty"],
    ),
    (
        "[log]\nlevel = \"verbose\"",
        &[
            "deskbell.toml:2:9: log.level: must be one of off, error, warn, info, debug, trace, or levels of parts such as \"info,deskbell::store=debug\"",
        ],
    ),
    (
        "[log]\nlevel = \"inf\"",
        &[
            "deskbell.toml:2:9: log.level: must be one of off, error, warn, info, debug, trace, or levels of parts such as \"info,deskbell::store=debug\"; did you mean info?",
        ],
    ),
    (
        "[log]\nformat = \"xml\"",
        &["deskbell.toml:2:10: log.format: must be \"text\" or \"json\""],
    ),
    (
        "[tls]\ncertificate = \"cert.pem\"",
        &[
            "deskbell.toml:1:1: tls.key: is missing: [tls] needs both certificate and key",
            "deskbell.toml:2:15: tls.certificate: cannot read \"cert.pem\": No such file or directory (os error 2)",
        ],
    ),
    (
        "[tls]\ncertificate = \"cert.pem\"\nkey = \"\"",
        &[
            "deskbell.toml:2:15: tls.certificate: cannot read \"cert.pem\": No such file or directory (os error 2)",
            "deskbell.toml:3:7: tls.key: is empty",
        ],
    ),
    (
        "[limits]\nstreams_per_user = 0\nstreams_per_token = 1000001\nconnections = 1",
        &[
            "deskbell.toml:2:20: limits.streams_per_user: must be from 1 to 1000000",
            "deskbell.toml:3:21: limits.streams_per_token: must be from 1 to 1000000",
            "deskbell.toml:4:1: limits.connections: unknown key; known here: connections_per_address, streams_per_user, streams_per_token",
        ],
    ),
    (
        "[bell]\nsteps = []",
        &["deskbell.toml:2:9: bell.steps: must name at least one step, or nothing would ring"],
    ),
    (
        "[bell]\nsteps = [\"0s\", \"60s\", \"60s\"]",
        &["deskbell.toml:2:9: bell.steps: each step must begin later than the one before it"],
    ),
    (
        "[bell]\nsteps = [\"0s\"]",
        &[
            "deskbell.toml:2:9: bell.steps: the last step repeats at its own interval, so it must be later than \"0s\"",
        ],
    ),
    (
        "[bell]\nsteps = [0, \"60\", \"1 m\"]",
        &[
            "deskbell.toml:2:10: bell.steps[0]: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\", found a whole number",
            "deskbell.toml:2:13: bell.steps[1]: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"",
            "deskbell.toml:2:19: bell.steps[2]: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"",
        ],
    ),
    (
        "[bell]\nmax_age = \"0s\"",
        &["deskbell.toml:2:11: bell.max_age: must be longer than 0"],
    ),
    (
        "[bell]\nheartbeat_url = \"ftp://ping.example\"",
        &[
            "deskbell.toml:2:17: bell.heartbeat_url: must be an address that begins with https:// or http://",
        ],
    ),
    (
        "[bell]\nmax_age = \"400d\"",
        &["deskbell.toml:2:11: bell.max_age: is longer than a year"],
    ),
    (
        "[bell]\nmax_age = 24",
        &[
            "deskbell.toml:2:11: bell.max_age: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\", found a whole number",
        ],
    ),
    (
        "[hooks]\nretry = [\"1s\", \"-5s\"]",
        &[
            "deskbell.toml:2:16: hooks.retry[1]: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"",
        ],
    ),
    (
        "[hooks]\nallow_private_addresses = \"yes\"",
        &[
            "deskbell.toml:2:27: hooks.allow_private_addresses: expected true or false, found a text",
        ],
    ),
];

/// Channels, and everything together.
const CHANNELS: &[Broken] = &[
    (
        "[channels]\nid = \"a\"",
        &[
            "deskbell.toml:1:1: channels: expected a list of channels, each written [[channels]], found a table",
        ],
    ),
    (
        "channels = [1]",
        &[
            "deskbell.toml:1:13: channels[0]: expected a channel written [[channels]], found a whole number",
        ],
    ),
    (
        "[[channels]]",
        &[
            "deskbell.toml:1:1: channels[0].id: is missing: a name for its URLs, such as \"shop-page\"",
            "deskbell.toml:1:1: channels[0].connector: is missing: one of messenger, telegram, webchat, email",
        ],
    ),
    (
        "[[channels]]\nid = \"Shop\"\nconnector = \"webchat\"",
        &[
            "deskbell.toml:2:6: channels[0].id: must be 1 to 63 of a-z, 0-9 and \"-\", and begin with a letter or digit, such as \"shop-page\"",
        ],
    ),
    (
        "[[channels]]\nid = 1\nconnector = \"webchat\"",
        &["deskbell.toml:2:6: channels[0].id: expected a text in quotes, found a whole number"],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"telegramm\"\nanything = 1",
        &[
            "deskbell.toml:3:13: channels[0].connector: unknown connector; this version has messenger, telegram, webchat, email; did you mean telegram?",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"pigeon\"",
        &[
            "deskbell.toml:3:13: channels[0].connector: unknown connector; this version has messenger, telegram, webchat, email",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\n\n[[channels]]\nid = \"a\"\nconnector = \"webchat\"",
        &[
            "deskbell.toml:6:6: channels[1].id: \"a\" is already the id of channels[0] at deskbell.toml:2:6",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\nname = \"\"\ncatch_up = \"no\"\napi_base = \"https://a.example\"\nallowed_origin = []",
        &[
            "deskbell.toml:4:8: channels[0].name: is empty",
            "deskbell.toml:5:12: channels[0].catch_up: expected true or false, found a text",
            "deskbell.toml:6:1: channels[0].api_base: webchat calls nobody, so it has no api_base",
            "deskbell.toml:7:1: channels[0].allowed_origin: unknown key; did you mean allowed_origins?",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\ncatch_up = false",
        &[
            "deskbell.toml:4:1: channels[0].catch_up: webchat has no history to catch up from; leave this out",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\nname = \"a\\nb\"\nallowed_origins = [\"a\", 1]\nidentity_secret = true",
        &[
            "deskbell.toml:4:8: channels[0].name: holds a line break or another control character",
            "deskbell.toml:5:25: channels[0].allowed_origins[1]: expected a text in quotes, found a whole number",
            "deskbell.toml:6:19: channels[0].identity_secret: expected a secret: a text in quotes, { env = \"NAME\" } or { file = \"/path\" }, found true or false",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"messenger\"\napp_id = 42\npage_id = \"\"\nhuman_agent = \"yes\"",
        &[
            "deskbell.toml:1:1: channels[0].app_secret: is missing: from the app's basic settings",
            "deskbell.toml:4:10: channels[0].app_id: expected a text in quotes, found a whole number",
            "deskbell.toml:5:11: channels[0].page_id: is empty",
            "deskbell.toml:6:15: channels[0].human_agent: expected true or false, found a text",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"telegram\"\nbot_token = \"none\"",
        &["deskbell.toml:4:13: channels[0].bot_token: must hold a colon"],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"telegram\"\nbot_token = \"1:a\"\nmode = \"pol\"\napi_base = \"api.example.com\"",
        &[
            "deskbell.toml:5:8: channels[0].mode: must be one of poll, webhook; did you mean poll?",
            "deskbell.toml:6:12: channels[0].api_base: expected an address such as \"https://www.example.com\"",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"email\"\naddress = \"a@example.com\"\nimap = \"mail.example.com\"",
        &[
            "deskbell.toml:5:8: channels[0].imap: expected a table written [channels.imap], found a text",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"email\"\naddress = \"a@example.com\"\n[channels.imap]\nhots = \"mail.example.com\"\nport = 1",
        &[
            "deskbell.toml:1:1: channels[0].imap.host: is missing: the server that keeps the mail",
            "deskbell.toml:6:1: channels[0].imap.hots: unknown key; did you mean host?",
            "deskbell.toml:7:1: channels[0].imap.port: unknown key; known here: host, password",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"email\"\naddress = \"a@example.com\"\n\"imap.host\" = \"x\"",
        &[
            "deskbell.toml:1:1: channels[0].imap.host: is missing: the server that keeps the mail",
            "deskbell.toml:5:1: channels[0].\"imap.host\": unknown key; known here: id, connector, name, api_base, catch_up, address, imap",
        ],
    ),
    (
        "[[channels]]\nid = \"a\"\nconnector = \"webchat\"\nlisten = \"127.0.0.1:80\"",
        &[
            "deskbell.toml:4:1: channels[0].listen: unknown key here; it belongs before the first [section]",
        ],
    ),
    (
        "listen = 1\n[store]\nx = 1\n[[channels]]\nid = \"a\"\nconnector = \"telegram\"\n[bell]\nmax_age = \"x\"",
        &[
            "deskbell.toml:1:10: listen: expected an IP address with a port, such as \"127.0.0.1:8080\" or \"[::]:8080\", found a whole number",
            "deskbell.toml:3:1: store.x: unknown key; known here: engine, url, cache_mib, keep_days",
            "deskbell.toml:4:1: channels[0].bot_token: is missing: from the bot's maker",
            "deskbell.toml:8:11: bell.max_age: expected a duration in quotes, such as \"500ms\", \"60s\", \"5m\" or \"24h\"",
        ],
    ),
];

fn assert_told(cases: &[Broken]) {
    for (file, errors) in cases {
        assert_eq!(Shop::new(file).errors(), *errors, "{file}");
    }
}

#[test]
fn f44_syntax_errors_are_told_in_one_line() {
    assert_told(SYNTAX);
}

#[test]
fn f44_broken_keys_are_told() {
    assert_told(BEFORE_SECTIONS);
}

#[test]
fn f44_broken_sections_are_told() {
    assert_told(SECTIONS);
}

#[test]
fn f44_broken_channels_are_told() {
    assert_told(CHANNELS);
}

#[test]
fn f44_files_that_are_no_text_are_told() {
    assert_eq!(
        Shop::of_bytes(b"listen = 1\n# \xc5\xbe\xff\n").errors(),
        ["deskbell.toml:2:4: is not UTF-8 text; save the file as UTF-8"]
    );
    assert_eq!(
        Shop::of_bytes(&vec![b'#'; 1024 * 1024 + 1]).errors(),
        ["deskbell.toml: is longer than 1048576 bytes"]
    );
}

#[test]
fn f44_deep_nesting_is_refused() {
    let deep = format!("listen = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let errors = Shop::new(&deep).errors();
    assert!(!errors.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in the file, the answer is a configuration or errors of one line each.
    #[test]
    fn f44_no_file_makes_it_panic(
        garbage in "(\\PC|\n|[\\[\\]{}=\"'.,0-9a-z]){0,80}",
        line in 0_usize..120,
        replace in any::<bool>(),
    ) {
        let example = include_str!("../../../docs/deskbell.example.toml");
        let mut lines: Vec<&str> = example.lines().map(|line| match line.strip_prefix('#') { Some(setting) if !setting.starts_with(' ') => setting, _ => line }).collect();
        let line = line.min(lines.len() - 1);
        if replace {
            lines[line] = &garbage;
        } else {
            lines.insert(line, &garbage);
        }
        for file in [garbage.as_str(), &lines.join("\n")] {
            for error in Shop::new(file).errors() {
                prop_assert!(!error.contains('\n'), "{}", error);
                prop_assert!(error.starts_with("deskbell.toml"), "{}", error);
            }
        }
    }
}
