//! Mails that the daemon sends by itself: invitations. They go to the mail server of the configuration, or not at all;
//! whoever asks for one waits for the server's word, and goes on whatever it is.

use std::time::Duration;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use crate::config::{MailSecurity, Smtp};
use crate::http_client::install_tls;

/// How long the mail server may take for each step.
const STEP: Duration = Duration::from_secs(8);
/// How long a mail may take in all.
const WHOLE: Duration = Duration::from_secs(20);

/// Why a mail was not sent. It names the server and the reason, never what was in the mail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// Who it is for cannot be written to.
    #[error("the e-mail address cannot be written to")]
    Address,
    /// The configuration cannot be used.
    #[error("[smtp] cannot be used: {0}")]
    Settings(String),
    /// The server did not take it.
    #[error("the mail server {host} {why}")]
    NotTaken {
        /// The server.
        host: String,
        /// What it did.
        why: String,
    },
}

/// A mail: plain text.
#[derive(Clone)]
pub struct Mail {
    /// The name of whom it is for.
    pub name: String,
    /// Their address.
    pub email: String,
    /// What it is about: one line.
    pub subject: String,
    /// What it says.
    pub text: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail")
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Sends mails.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    host: String,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// Says that no person wrote it, so that no machine answers (RFC 3834).
#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

impl Mailer {
    /// For the server of the configuration. Nothing is asked yet.
    ///
    /// # Errors
    /// Where the settings cannot be used.
    pub fn new(smtp: &Smtp) -> Result<Self, MailError> {
        let settings = |error: &dyn std::fmt::Display| MailError::Settings(error.to_string());
        let from = smtp.from.parse().map_err(|error| settings(&error))?;
        let host = smtp.host.as_str();
        install_tls();
        let tls = || TlsParameters::new(host.to_owned()).map_err(|error| settings(&error));
        let tls = match smtp.security {
            MailSecurity::Tls => Tls::Wrapper(tls()?),
            MailSecurity::StartTls => Tls::Required(tls()?),
            MailSecurity::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(smtp.port)
            .tls(tls)
            .timeout(Some(STEP));
        if let Some((username, password)) = &smtp.login {
            let credentials = Credentials::new(username.clone(), password.expose().to_owned());
            builder = builder.credentials(credentials);
        }
        Ok(Self {
            transport: builder.build(),
            from,
            host: host.to_owned(),
        })
    }

    /// Sends a mail, and waits until the server has taken it.
    ///
    /// # Errors
    /// Where it does not, within 20 s.
    pub async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let address = mail.email.trim().parse().map_err(|_| MailError::Address)?;
        // The builder writes names and subjects so that no line break gets into a header (P12).
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(Some(one_line(&mail.name)), address))
            .subject(one_line(&mail.subject))
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)
            .map_err(|_| MailError::Address)?;
        let not_taken = |why: String| MailError::NotTaken {
            host: self.host.clone(),
            why,
        };
        match tokio::time::timeout(WHOLE, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(not_taken(said(&error))),
            Err(_) => Err(not_taken("did not answer in time".to_owned())),
        }
    }
}

/// What went wrong, in words that hold nothing of the mail.
fn said(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return match error.is_permanent() {
            true => format!("refused it ({code})"),
            false => format!("does not take it now ({code})"),
        };
    }
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    if error.is_tls() {
        return "cannot be reached by TLS: see `security`, and the server's certificate".to_owned();
    }
    "cannot be reached, or broke off".to_owned()
}

/// A text without anything that ends a line.
fn one_line(text: &str) -> String {
    let text = text.replace(char::is_control, " ");
    text.trim().to_owned()
}
