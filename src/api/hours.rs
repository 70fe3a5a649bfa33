//! Who works when: the hours of people and of channels, and who is on call.

use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use deskbell_sdk::Time;
use deskbell_sdk::send::{PartPlan, ReplyShape};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Signed;
use super::body::Json;
use super::channels::visible;
use super::extract::{Id, MayAdmin, MayRead, Slug};
use super::filters;
use super::paging;
use super::problem::{FieldProblem, Problem};
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::after_hours::{answer_text, unknown_variables};
use crate::desk::audit::{Audited, Told};
use crate::desk::duty::{NotOnCall, SetChannelHours, SetOnCall, SetUserHours};
use crate::desk::hours::zone_named;
use crate::duty;
use crate::id::UserId;
use crate::store::entry::{
    AfterHours, AnswerBy, ChannelHoursEntry, Day, Entry, OnCallEntry, Right, Span, UserEntry,
    UserHoursEntry, WeekEntry,
};
use crate::store::record::ChannelNo;

/// The most spans of a week.
const MAX_SPANS: usize = 100;
/// The longest automatic answer, in characters.
const MAX_ANSWER_CHARS: usize = 2_000;
/// What stands for a time where the length of an answer is found out.
const SOME_DATE: (&str, &str) = ("2026-11-30", "09:00");

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(user_hours, set_user_hours))
        .routes(routes!(channel_hours, set_channel_hours))
        .routes(routes!(on_call, set_on_call))
}

/// Hours of each week, by the clocks of a place.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WeekHours)]
pub struct Week {
    /// The place: the name of an IANA time zone, as `Europe/Prague`.
    pub time_zone: String,
    /// When; at most 100.
    pub spans: Vec<WeekSpan>,
}

/// A span of each week.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeekSpan {
    /// The day on which it begins.
    pub day: Day,
    /// When it begins: `00:00` to `23:59`.
    pub from: String,
    /// When it ends: `00:00` to `24:00`. Where it is before `from`, it is a time of the day after.
    pub to: String,
}

impl From<&WeekEntry> for Week {
    fn from(week: &WeekEntry) -> Self {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        let spans = week.spans.iter().map(|span| WeekSpan {
            day: span.day,
            from: clock(span.from),
            to: clock(span.to),
        });
        Self {
            time_zone: week.time_zone.clone(),
            spans: spans.collect(),
        }
    }
}

/// A time of a day in minutes: `09:00`, up to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|sign| sign.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let whole = hour * 60 + minute;
    (minute < 60 && whole <= 24 * 60).then_some(whole)
}

/// A week as it is kept; what does not do is told, each with its place.
fn week_of(given: &Week, place: &str, wrong: &mut Vec<FieldProblem>) -> Option<WeekEntry> {
    let before = wrong.len();
    let mut complain = |field: String, detail: &str| {
        wrong.push(FieldProblem {
            pointer: format!("{place}{field}"),
            detail: detail.to_owned(),
        });
    };
    let time_zone = zone_named(&given.time_zone);
    if time_zone.is_none() {
        let detail = "There is no such time zone; write it as Europe/Prague.";
        complain("/time_zone".to_owned(), detail);
    }
    if given.spans.len() > MAX_SPANS {
        complain("/spans".to_owned(), "There may be 100 spans at the most.");
        return None;
    }
    let mut spans = Vec::with_capacity(given.spans.len());
    for (number, span) in given.spans.iter().enumerate() {
        let (from, to) = (minutes(&span.from), minutes(&span.to));
        if from.is_none_or(|from| from >= 24 * 60) {
            let detail = "Write a time of the day, from 00:00 to 23:59.";
            complain(format!("/spans/{number}/from"), detail);
        }
        if to.is_none() {
            let detail = "Write a time of the day, from 00:00 to 24:00.";
            complain(format!("/spans/{number}/to"), detail);
        }
        if let (Some(from), Some(to)) = (from, to) {
            if from == to {
                let detail = "It ends when it begins; a whole day is from 00:00 to 24:00.";
                complain(format!("/spans/{number}/to"), detail);
            }
            // Midnight is the end of the day before.
            let to = if to == 0 { 24 * 60 } else { to };
            let day = span.day;
            spans.push(Span { day, from, to });
        }
    }
    spans.sort_unstable();
    spans.dedup();
    let is_right = wrong.len() == before;
    Some(WeekEntry {
        time_zone: time_zone.filter(|_| is_right)?,
        spans,
    })
}

/// A caller who may set what is a person's: they themselves, or an administrator.
struct Own(Caller, UserId);

impl FromRequestParts<App> for Own {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let signed = Signed::from_request_parts(parts, app).await?;
        let id = Id::<UserId>::from_request_parts(parts, app).await;
        match id {
            Ok(Id(id)) if filters::user_of(&signed.0) == Some(id) => Ok(Self(signed.0, id)),
            // Who may set nothing of others learns nothing of their ids.
            _ => {
                let caller = signed.with(Right::Admin)?;
                id.map(|Id(id)| Self(caller, id))
            }
        }
    }
}

/// When a person works, and when nothing is to ring for them.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UserHoursToSet {
    /// When they work; `null` or left out: always.
    working: Option<Week>,
    /// When nothing is to ring for them, also within their hours; `null` or left out: never.
    quiet: Option<Week>,
}

/// When a person works, and whether they do now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UserHours {
    /// When they work; `null`: always.
    working: Option<Week>,
    /// When nothing is to ring for them, also within their hours; `null`: never.
    quiet: Option<Week>,
    /// Whether they work now: available, within their hours, not in their quiet hours, and allowed to answer.
    on_duty: bool,
    /// Whether they are on call.
    on_call: bool,
}

fn shown_user(app: &Daemon, user: UserId) -> Result<UserHours, Problem> {
    let entry = UserHoursEntry::get(&*app.store, &user.key())?.unwrap_or_default();
    let standing = duty::roster(app)?.standing(user, app.clock.now());
    Ok(UserHours {
        working: entry.working.as_ref().map(Week::from),
        quiet: entry.quiet.as_ref().map(Week::from),
        on_duty: standing.is_some_and(|standing| standing.on_duty),
        on_call: standing.is_some_and(|standing| standing.on_call),
    })
}

/// A person's hours
///
/// When they work, when nothing is to ring for them, and whether they work now.
#[utoipa::path(
    get, path = "/api/v1/users/{id}/hours", tag = "users", operation_id = "getUserHours",
    params(("id" = String, Path, description = "`usr_…`")),
    responses((status = 200, description = "Their hours", body = UserHours)),
)]
async fn user_hours(
    State(app): State<App>,
    MayRead(_caller): MayRead,
    Id(id): Id<UserId>,
) -> Result<axum::Json<UserHours>, Problem> {
    let found = paging::read(&app, move |app| {
        if UserEntry::get(&*app.store, &id.key())?.is_none() {
            return Err(Problem::not_found("person"));
        }
        shown_user(app, id)
    });
    found.await.map(axum::Json)
}

/// Set a person's hours
///
/// All of them: what is left out is gone. People set their own; administrators set everybody's.
#[utoipa::path(
    put, path = "/api/v1/users/{id}/hours", tag = "users", operation_id = "setUserHours",
    params(("id" = String, Path, description = "`usr_…`")), request_body = UserHoursToSet,
    responses((status = 200, description = "The hours from now on", body = UserHours)),
)]
async fn set_user_hours(
    State(app): State<App>,
    Own(caller, id): Own,
    Json(given): Json<UserHoursToSet>,
) -> Result<axum::Json<UserHours>, Problem> {
    let mut wrong = Vec::new();
    let mut week = |given: &Option<Week>, place| {
        let given = given.as_ref();
        given.and_then(|given| week_of(given, place, &mut wrong))
    };
    let hours = UserHoursEntry {
        working: week(&given.working, "/working"),
        quiet: week(&given.quiet, "/quiet"),
    };
    if !wrong.is_empty() {
        return Err(Problem::fields(wrong));
    }
    let tell = |made: &Option<UserEntry>| {
        let user = made.as_ref()?;
        Some(Told::of("user.hours").to("user", user.id, user.name.as_str()))
    };
    let decision = SetUserHours { user: id, hours };
    let set = Audited::by_answer(decision, caller.actor(), tell);
    let user = app.writer.write(set).await?;
    user.ok_or_else(|| Problem::not_found("person"))?;
    app.live.changed(app.clock.now(), "users");
    let found = paging::read(&app, move |app| shown_user(app, id));
    found.await.map(axum::Json)
}

/// What a channel does, and when.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelHoursToSet {
    /// When it is open; `null` or left out: always.
    open: Option<Week>,
    /// What becomes of messages that come while it is closed: they `ring` as ever, `hold` until it opens, or ring whoever
    /// is `on_call` only.
    after_hours: AfterHours,
    /// What customers are answered who write while it is closed, once each time it is closed; `null` or left out:
    /// nothing. `{opens_at}`, `{opens_date}` and `{opens_time}` stand for when it opens.
    #[schema(max_length = 2000)]
    answer: Option<String>,
}

/// When a channel is open, and what becomes of messages outside.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ChannelHours {
    /// When it is open; `null`: always.
    open: Option<Week>,
    /// What becomes of messages that come while it is closed.
    after_hours: AfterHours,
    /// What customers are answered who write while it is closed; `null`: nothing.
    answer: Option<String>,
    /// Whether it is open now.
    open_now: bool,
    /// When it opens or closes next; `null`: not within nine days.
    #[schema(value_type = Option<String>, format = DateTime)]
    changes_at: Option<Time>,
}

fn shown_channel(app: &Daemon, channel: ChannelNo) -> Result<ChannelHours, Problem> {
    let key = ChannelHoursEntry::key(channel);
    let entry = ChannelHoursEntry::get(&*app.store, &key)?.unwrap_or_default();
    let now = app.clock.now();
    let stretch = duty::roster(app)?.stretch_of(channel, now);
    let changes = stretch.filter(|stretch| {
        let far_ms = 8 * 24 * 60 * 60 * 1000;
        stretch.until.as_millis() - now.as_millis() < far_ms
    });
    Ok(ChannelHours {
        open: entry.open.as_ref().map(Week::from),
        after_hours: entry.after_hours,
        answer: entry.answer,
        open_now: stretch.is_none_or(|stretch| stretch.open),
        changes_at: changes.map(|stretch| stretch.until),
    })
}

/// A channel's hours
///
/// When it is open, what becomes of messages that come while it is closed, and what their customers are answered.
#[utoipa::path(
    get, path = "/api/v1/channels/{id}/hours", tag = "channels", operation_id = "getChannelHours",
    params(("id" = String, Path, description = "The slug")),
    responses((status = 200, description = "Its hours", body = ChannelHours)),
)]
async fn channel_hours(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Slug(id): Slug,
) -> Result<axum::Json<ChannelHours>, Problem> {
    let no = visible(&app, &caller, &id)?.no;
    let found = paging::read(&app, move |app| shown_channel(app, no));
    found.await.map(axum::Json)
}

/// Set a channel's hours
///
/// All of them: what is left out is gone. Administrators only.
#[utoipa::path(
    put, path = "/api/v1/channels/{id}/hours", tag = "channels", operation_id = "setChannelHours",
    params(("id" = String, Path, description = "The slug")), request_body = ChannelHoursToSet,
    responses((status = 200, description = "The hours from now on", body = ChannelHours)),
)]
async fn set_channel_hours(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
    Json(given): Json<ChannelHoursToSet>,
) -> Result<axum::Json<ChannelHours>, Problem> {
    let entry = visible(&app, &caller, &id)?;
    let mut wrong = Vec::new();
    let week = given.open.as_ref();
    let open = week.and_then(|week| week_of(week, "/open", &mut wrong));
    let mut complain = |pointer: &str, detail: String| {
        wrong.push(FieldProblem {
            pointer: pointer.to_owned(),
            detail,
        });
    };
    if week.is_some_and(|week| week.spans.is_empty()) {
        let detail = "Without a span it would never open: name one, or leave `open` out.";
        complain("/open/spans", detail.to_owned());
    }
    if week.is_none() && given.after_hours != AfterHours::Ring {
        let detail = "It is never closed: say in `open` when it is.";
        complain("/after_hours", detail.to_owned());
    }
    let mut answer_by = AnswerBy::default();
    if let Some(answer) = &given.answer {
        match how_to_answer(&app, entry.no, answer) {
            Ok(by) => answer_by = by,
            Err(detail) => complain("/answer", detail),
        }
        if week.is_none() {
            let detail = "It is never closed: say in `open` when it is.";
            complain("/answer", detail.to_owned());
        }
    }
    if !wrong.is_empty() {
        return Err(Problem::fields(wrong));
    }
    let hours = ChannelHoursEntry {
        open,
        after_hours: given.after_hours,
        answer: given.answer,
        answer_by,
    };
    let told = Told::of("channel.hours").to("channel", &entry.id, entry.name.as_str());
    let decision = SetChannelHours {
        channel: entry.no,
        hours,
    };
    let set = Audited::always(decision, caller.actor(), told);
    app.writer.write(set).await?;
    app.live.changed(app.clock.now(), "channels");
    let no = entry.no;
    let found = paging::read(&app, move |app| shown_channel(app, no));
    found.await.map(axum::Json)
}

/// How an automatic answer of a channel goes out; or why it cannot.
fn how_to_answer(app: &Daemon, channel: ChannelNo, answer: &str) -> Result<AnswerBy, String> {
    if answer.trim().is_empty() {
        return Err("It is empty.".to_owned());
    }
    if answer.chars().count() > MAX_ANSWER_CHARS {
        let detail = format!("It may have {MAX_ANSWER_CHARS} characters at the most.");
        return Err(detail);
    }
    if let Some(name) = unknown_variables(answer).first() {
        return Err(format!(
            "There is no variable {{{name}}}: there are {{opens_at}}, {{opens_date}} and {{opens_time}}."
        ));
    }
    let Some(open) = app.channels.get_no(channel) else {
        return Err("The channel is not open, so that it cannot be seen what it takes.".to_owned());
    };
    let text = answer_text(answer, SOME_DATE.0, SOME_DATE.1);
    if open.channel.visitors().is_some() {
        let most = open.channel.limits().text_chars.unwrap_or(usize::MAX);
        return if text.chars().count() > most {
            Err(format!("It may have {most} characters at the most here."))
        } else {
            Ok(AnswerBy::ServedHere)
        };
    }
    let Some(sender) = open.channel.send() else {
        return Err("Nothing can be sent in this channel.".to_owned());
    };
    let shape = ReplyShape {
        text: Some(&text),
        files: Vec::new(),
    };
    let parts = sender.plan(&shape).map_err(|error| error.to_string())?;
    if !matches!(parts.as_slice(), [PartPlan::Text(_)]) {
        return Err("It is too long for one message of this channel.".to_owned());
    }
    let windows = crate::outbox::windows(&open);
    Ok(AnswerBy::Platform(windows.ordinary_ms))
}

/// Who is on call.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OnCall {
    /// `usr_…`; `null`: nobody.
    #[serde(deserialize_with = "there")]
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
}

/// A field that is to be there, also where it is `null`.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<UserId>, D::Error> {
    Option::deserialize(deserializer)
}

/// Who is on call
///
/// The one person whom rings reach that nobody else takes.
#[utoipa::path(
    get, path = "/api/v1/on-call", tag = "settings", operation_id = "getOnCall",
    responses((status = 200, description = "Who is on call", body = OnCall)),
)]
async fn on_call(
    State(app): State<App>,
    MayRead(_caller): MayRead,
) -> Result<axum::Json<OnCall>, Problem> {
    let found = paging::read(&app, |app| {
        let entry = OnCallEntry::get(&*app.store, OnCallEntry::KEY)?.unwrap_or_default();
        Ok(OnCall {
            user_id: entry.user,
        })
    });
    found.await.map(axum::Json)
}

/// Say who is on call
///
/// In the place of whoever was. Administrators only.
#[utoipa::path(
    put, path = "/api/v1/on-call", tag = "settings", operation_id = "setOnCall", request_body = OnCall,
    responses((status = 200, description = "Who is on call from now on", body = OnCall)),
)]
async fn set_on_call(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Json(given): Json<OnCall>,
) -> Result<axum::Json<OnCall>, Problem> {
    let user = given.user_id;
    let tell = |made: &Result<Option<UserEntry>, NotOnCall>| {
        let told = Told::of("on_call.changed");
        Some(match made.as_ref().ok()? {
            Some(user) => told.to("user", user.id, user.name.as_str()),
            None => told,
        })
    };
    let set = Audited::by_answer(SetOnCall { user }, caller.actor(), tell);
    match app.writer.write(set).await? {
        Ok(_) => {
            app.live.changed(app.clock.now(), "settings");
            Ok(axum::Json(given))
        }
        Err(NotOnCall::Unknown) => Err(Problem::field("/user_id", "There is no such person.")),
        Err(NotOnCall::CannotAnswer) => {
            let detail = "They may not sign in, or may not answer customers.";
            Err(Problem::field("/user_id", detail))
        }
    }
}
