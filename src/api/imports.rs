//! `POST /api/v1/imports`: history comes in, a stretch of an export at a time.

use std::fs::File;
use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Query, read_limited};
use super::exports::LINES;
use super::extract::MayAdmin;
use super::problem::{FieldProblem, Problem};
use super::uploads;
use crate::app::App;
use crate::blobs::Piece;
use crate::desk::audit::{Tells, Told};
use crate::desk::import::{ChannelImported, Import, ImportChannel, Record};
use crate::export::lines::{ChannelLine, FileLine, Line, PIECE_BYTES};
use crate::export::read_line;
use crate::live::Live;
use crate::provision;
use crate::store::record::{AttachmentBytes, ChannelNo};
use crate::virus_check::Objection;

/// The largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;
/// The largest file that is taken in, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024 * 1024;
/// How many records are one decision of the writer; readers wait while it is carried out.
const RECORDS: usize = 200;
/// About how many bytes of lines are one decision.
const RECORD_BYTES: usize = 512 * 1024;
/// How many bad lines are told of.
const TOLD: usize = 20;
/// How many requests are carried out at once: each is held in memory.
const PLACES: usize = 2;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(import))
}

/// Where the lines stand in their file.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// The number that the first line of the body has in its file, so that errors name the file's lines; 1 where it is
    /// left out.
    line: Option<u64>,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportReport {
    /// Records that are new here.
    pub new: u64,
    /// Records that were here in an older version.
    pub updated: u64,
    /// Records that were here already.
    pub known: u64,
    /// Lines of types that this version does not know.
    pub skipped: u64,
    /// Files that were left out because a virus was found in them; their messages are here.
    pub infected: u64,
}

/// Take history in
///
/// Lines of an export, in its order: at most 8 MiB of whole lines a request, one request after the other. What is here
/// already is known, so that any of it may be sent again. A line that cannot be taken in is a 422 whose `errors[]` begin
/// with the line's number; lines that cannot be read keep the whole request out, one that names what is not here only
/// what stands behind it. Nothing is sent to anybody: answers that were `queued` become `unknown`. Channels that are not
/// here are made, closed. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/imports", tag = "exports", operation_id = "import", params(ImportQuery),
    request_body(content = String, content_type = "application/x-ndjson", description = "The lines"),
    responses(
        (status = 200, description = "All were taken in", body = ImportReport),
        (status = 429, description = "Two imports are being carried out already"),
    ),
)]
async fn import(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<ImportQuery>,
    request: Request,
) -> Result<axum::Json<ImportReport>, Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media_type = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case(LINES) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            "This takes lines",
            format!("Send lines of an export with `Content-Type: {LINES}`."),
        ));
    }
    let Some(_place) = Live::place(&app, "imports".to_owned(), PLACES) else {
        return Err(Problem::too_many(
            "Two imports are being carried out already. Try again shortly.",
            1,
        ));
    };
    let body = read_limited(request.into_body(), MAX_BODY_BYTES).await?;
    let first = query.line.unwrap_or(1);
    let read = tokio::task::spawn_blocking(move || read_lines(&body, first)).await;
    let lines = read.map_err(|_| Problem::unavailable("The daemon is stopping."))??;
    // Many steps follow, any of which may be the last: it is told first.
    let told = Told::of("history.imported").with("first_line", first);
    let tells = Tells {
        by: caller.actor(),
        told: told.with("lines", lines.len()),
    };
    app.writer.write(tells).await?;
    let mut importing = Importing {
        app,
        report: ImportReport::default(),
        records: Vec::new(),
        bytes: 0,
    };
    for (number, bytes, line) in lines {
        importing.line(number, bytes, line).await?;
    }
    importing.decide().await?;
    Ok(axum::Json(importing.report))
}

/// A line with its number and its length in bytes.
type Numbered = (u64, usize, Line);

/// Reads the lines of a body; those that cannot be read are all told at once.
fn read_lines(body: &Bytes, first: u64) -> Result<Vec<Numbered>, Problem> {
    let (mut lines, mut bad) = (Vec::new(), Vec::new());
    for (text, number) in body.split(|byte| *byte == b'\n').zip(first..) {
        let text = text.trim_ascii();
        if text.is_empty() {
            continue;
        }
        match read_line(text) {
            Ok(line) => lines.push((number, text.len(), line)),
            Err(_) if bad.len() == TOLD => break,
            Err(fault) => bad.push((number, fault.pointer, fault.detail)),
        }
    }
    let mut bad = bad.into_iter();
    let Some((number, pointer, detail)) = bad.next() else {
        return Ok(lines);
    };
    let mut problem = bad_line(number, &pointer, &detail);
    problem
        .errors
        .extend(bad.map(|(number, pointer, detail)| FieldProblem {
            pointer: format!("/{number}{pointer}"),
            detail,
        }));
    Err(problem)
}

fn bad_line(number: u64, pointer: &str, detail: &str) -> Problem {
    let mut problem = Problem::field(&format!("/{number}{pointer}"), detail);
    problem.detail = match pointer {
        "" => format!("Line {number}: {detail}."),
        pointer => format!("Line {number}, {pointer}: {detail}."),
    };
    problem
}

struct Importing {
    app: App,
    report: ImportReport,
    /// What waits to be decided together.
    records: Vec<(u64, Record)>,
    bytes: usize,
}

impl Importing {
    async fn line(&mut self, number: u64, bytes: usize, line: Line) -> Result<(), Problem> {
        match line {
            Line::Header(_) | Line::End(_) => {}
            Line::Unknown(_) => self.report.skipped += 1,
            Line::Channel(channel) => {
                self.decide().await?;
                self.channel(number, channel).await?;
            }
            Line::File(file) => {
                if let Err(problem) = self.file(number, file).await {
                    self.decide().await?;
                    return Err(problem);
                }
            }
            other => {
                match self.record(other) {
                    Ok(record) => self.records.push((number, record)),
                    Err((pointer, slug)) => {
                        self.decide().await?;
                        let detail = format!("there is no channel `{slug}`, here or before it");
                        return Err(bad_line(number, pointer, &detail));
                    }
                }
                self.bytes += bytes;
                if self.records.len() >= RECORDS || self.bytes >= RECORD_BYTES {
                    self.decide().await?;
                }
            }
        }
        Ok(())
    }

    fn number(
        &self,
        pointer: &'static str,
        slug: &str,
    ) -> Result<ChannelNo, (&'static str, String)> {
        let number = self.app.channels.number_of(slug);
        number.ok_or_else(|| (pointer, slug.to_owned()))
    }

    /// A record of a line; the channel that is not there is the error, with where it is named.
    fn record(&self, line: Line) -> Result<Record, (&'static str, String)> {
        Ok(match line {
            Line::Contact(contact) => {
                let number = |slug: &str| self.app.channels.number_of(slug);
                let record = contact.into_record(number);
                let mut record = record.map_err(|slug| ("/identities", slug))?;
                record.avatar = record
                    .avatar
                    .filter(|avatar| self.app.blobs.has(&avatar.content));
                Record::Contact(record)
            }
            Line::MergedContact(merged) => Record::Merged {
                from: merged.id,
                into: merged.into,
                at: merged.at,
            },
            Line::Conversation(conversation) => {
                let number = self.number("/channel", &conversation.channel)?;
                Record::Conversation(Box::new(conversation.into_record(number)))
            }
            Line::Message(message) => {
                let number = self.number("/channel", &message.channel)?;
                let mut record = message.into_record(number);
                for attachment in &mut record.attachments {
                    if let AttachmentBytes::Stored(content) = &attachment.bytes
                        && !self.app.blobs.has(content)
                    {
                        attachment.bytes = AttachmentBytes::Failed(self.missing(content));
                    }
                }
                Record::Message(Box::new(record))
            }
            Line::Header(_)
            | Line::Channel(_)
            | Line::File(_)
            | Line::End(_)
            | Line::Unknown(_) => return Err(("", "none".to_owned())),
        })
    }

    /// Why a file is not here.
    fn missing(&self, content: &str) -> String {
        match self.app.virus_check.found_in(content) {
            Some(virus) => Objection::Virus(virus).to_string(),
            None => "its file was not in the export".to_owned(),
        }
    }

    /// Lets the writer decide what waits.
    async fn decide(&mut self) -> Result<(), Problem> {
        if self.records.is_empty() {
            return Ok(());
        }
        let import = Import {
            records: std::mem::take(&mut self.records),
            bytes: std::mem::take(&mut self.bytes) * 2,
        };
        let imported = self.app.writer.write(import).await?;
        self.report.new += u64::from(imported.new);
        self.report.updated += u64::from(imported.updated);
        self.report.known += u64::from(imported.known);
        match imported.refused {
            Some((number, why)) => Err(bad_line(number, "", &why)),
            None => Ok(()),
        }
    }

    async fn channel(&mut self, number: u64, line: ChannelLine) -> Result<(), Problem> {
        if !is_slug(&line.id) {
            let detail = "a slug has 1 to 63 small letters, digits and `-`, and begins with no `-`";
            return Err(bad_line(number, "/id", detail));
        }
        let asked = line.connector.clone();
        let decision = ImportChannel {
            id: line.id.clone(),
            connector: line.connector,
            name: deskbell_sdk::text::clean_name(&line.name).unwrap_or(line.id),
            created_at: line.created_at,
        };
        let slug = decision.id.clone();
        match provision::add_history(&self.app, decision).await? {
            ChannelImported::New(_) => {
                self.report.new += 1;
                Ok(())
            }
            ChannelImported::Known(_) => {
                self.report.known += 1;
                Ok(())
            }
            ChannelImported::OtherConnector(connector) => {
                let detail = format!(
                    "the channel `{slug}` is one of `{connector}` here, and of `{asked}` in the export: give the one here \
                     another id, or import into another daemon"
                );
                Err(bad_line(number, "/connector", &detail))
            }
            ChannelImported::Full => {
                Err(bad_line(number, "", "there is no room for a channel more"))
            }
        }
    }

    async fn file(&mut self, number: u64, line: FileLine) -> Result<(), Problem> {
        if line.size > MAX_FILE_BYTES {
            let detail = format!("a file has at most {MAX_FILE_BYTES} bytes");
            return Err(bad_line(number, "/size", &detail));
        }
        let Ok(bytes) = BASE64.decode(&line.data) else {
            return Err(bad_line(number, "/data", "it is no base64"));
        };
        if bytes.len() > PIECE_BYTES {
            let detail = format!("a piece has at most {PIECE_BYTES} bytes");
            return Err(bad_line(number, "/data", &detail));
        }
        let (app, content) = (Arc::clone(&self.app), line.sha256.clone());
        let kept = tokio::task::spawn_blocking(move || {
            let piece = Piece {
                content: &line.sha256,
                size: line.size,
                offset: line.offset,
                bytes: &bytes,
            };
            app.blobs.keep_piece(&piece, |file| checked(&app, file))
        });
        let error = match kept.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(Problem::unavailable("The daemon is stopping.")),
        };
        match error.get_ref().and_then(|cause| cause.downcast_ref()) {
            // The history comes without it: one bad file does not keep the rest out.
            Some(Objection::Virus(virus)) => {
                tracing::warn!(
                    virus,
                    "a file of an import is left out: there is a virus in it"
                );
                self.app.virus_check.remember(&content, virus);
                self.report.infected += 1;
                return Ok(());
            }
            Some(objection) => return Err(uploads::objected(objection)),
            None => {}
        }
        if error.kind() == io::ErrorKind::InvalidData {
            let detail = format!("the file is damaged: {error}");
            return Err(bad_line(number, "", &detail));
        }
        tracing::error!(%error, "a file of an import could not be kept");
        Err(Problem::unavailable(
            "A file cannot be kept right now. Try again shortly.",
        ))
    }
}

/// Lets a file that is whole be checked for viruses; the objection is the cause of the error.
fn checked(app: &App, file: File) -> io::Result<()> {
    if !app.virus_check.is_on() {
        return Ok(());
    }
    let checking = app.virus_check.check(tokio::fs::File::from_std(file));
    // On a thread for what blocks, so that this one may wait.
    Handle::current()
        .block_on(checking)
        .map_err(io::Error::other)
}

/// Whether a text can be a channel's id: `[a-z0-9][a-z0-9-]{0,62}`, as in the configuration.
fn is_slug(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-')
}
