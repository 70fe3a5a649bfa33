//! `[auth.oidc]` and `[smtp]`: who else may say who somebody is, and what carries invitations.

use std::net::IpAddr;

use super::formats::{
    DOMAIN, FILLED_TEXT, HOST, ISSUER, MAIL_SECURITY, MAILBOX, NAME, NEW_ROLE, is_local_name,
};
use super::reader::{Reader, Section};
use super::{MailSecurity, NewRole, Oidc, Smtp};

/// Most domains of e-mail addresses.
const MOST_DOMAINS: usize = 100;

/// `[auth.oidc]`; `None` where nothing stands in it, or something is missing.
pub(super) fn oidc(reader: &mut Reader<'_>, auth: &mut Section) -> Option<Oidc> {
    let mut section = reader.subsection(auth, "oidc", "auth.oidc");
    if section.table.entries.is_empty() {
        return None;
    }
    refuse_missing(reader, &section, &["issuer", "client_id", "client_secret"]);
    let create_origin = section
        .table
        .entries
        .get("create")
        .map(|entry| entry.node.origin.clone());
    let issuer = reader.parsed(&mut section, "issuer", ISSUER);
    let client_id = reader.parsed(&mut section, "client_id", FILLED_TEXT);
    let client_secret = reader.secret(&mut section, "client_secret", |_| Ok(()));
    let name = reader.parsed(&mut section, "name", NAME);
    let allowed_domains = reader.list(&mut section, "allowed_domains", DOMAIN, |domains| {
        if domains.len() > MOST_DOMAINS {
            Err(format!("has more than {MOST_DOMAINS} domains"))
        } else {
            Ok(())
        }
    });
    let create = reader.flag(&mut section, "create").unwrap_or(false);
    let role = reader.parsed(&mut section, "role", NEW_ROLE);
    let allowed_domains = allowed_domains.unwrap_or_default();
    if let Some(origin) = create_origin.filter(|_| create && allowed_domains.is_empty()) {
        reader.refuse(
            origin,
            &section.path_of("create"),
            "needs allowed_domains: without them everybody whom the provider knows could come in",
        );
    }
    reader.close(section);
    Some(Oidc {
        issuer: issuer?,
        client_id: client_id?,
        client_secret: client_secret?,
        name: name.unwrap_or_else(|| "Single sign-on".to_owned()),
        allowed_domains,
        create,
        role: role.unwrap_or(NewRole::Agent),
    })
}

/// `[smtp]`; `None` where nothing stands in it, or something is missing.
pub(super) fn smtp(reader: &mut Reader<'_>, root: &mut Section) -> Option<Smtp> {
    let mut section = reader.section(root, "smtp");
    if section.table.entries.is_empty() {
        return None;
    }
    refuse_missing(reader, &section, &["host", "from"]);
    let given = |section: &Section, key: &str| section.table.entries.contains_key(key);
    match (given(&section, "username"), given(&section, "password")) {
        (true, false) => refuse_missing(reader, &section, &["password"]),
        (false, true) => refuse_missing(reader, &section, &["username"]),
        _ => {}
    }
    let security_origin = section
        .table
        .entries
        .get("security")
        .map(|entry| entry.node.origin.clone());
    let host = reader.parsed(&mut section, "host", HOST);
    let port = reader.integer(&mut section, "port", 1..=65535);
    let security = reader.parsed(&mut section, "security", MAIL_SECURITY);
    let username = reader.parsed(&mut section, "username", FILLED_TEXT);
    let password = reader.secret(&mut section, "password", |_| Ok(()));
    let from = reader.parsed(&mut section, "from", MAILBOX);
    let security = security.unwrap_or(MailSecurity::Tls);
    if let (Some(origin), MailSecurity::None, Some(host)) = (security_origin, security, &host)
        && !is_here(host)
    {
        reader.refuse(
            origin,
            &section.path_of("security"),
            "\"none\" is for a mail server on this machine only: invitations open accounts",
        );
    }
    reader.close(section);
    let usual = match security {
        MailSecurity::Tls => 465,
        MailSecurity::StartTls => 587,
        MailSecurity::None => 25,
    };
    Some(Smtp {
        host: host?,
        port: port
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(usual),
        security,
        login: username.zip(password),
        from: from?,
    })
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    is_local_name(host) || host.parse().is_ok_and(is_loopback)
}

fn refuse_missing(reader: &mut Reader<'_>, section: &Section, keys: &[&str]) {
    for key in keys {
        if !section.table.entries.contains_key(*key) {
            let problem = format!("is missing: [{}] needs {key}", section.path);
            reader.refuse(section.table.origin.clone(), &section.path_of(key), problem);
        }
    }
}
