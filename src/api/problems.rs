//! `/docs/problems/{name}`: what each type of problem means and what to do, for whoever follows its address.

use axum::Router;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::pages::plain_page;
use super::problem::Problem;
use crate::app::App;

/// A type of problem.
#[derive(Clone, Copy, Debug)]
struct Meaning {
    /// Its name: what follows `/docs/problems/`.
    name: &'static str,
    /// The statuses it comes with.
    statuses: &'static str,
    /// What it means and what to do.
    meaning: &'static str,
}

const fn meaning(name: &'static str, statuses: &'static str, meaning: &'static str) -> Meaning {
    Meaning {
        name,
        statuses,
        meaning,
    }
}

/// Every type of problem that is answered.
const MEANINGS: &[Meaning] = &[
    meaning(
        "already-set-up",
        "409",
        "The first administrator was made already. Whoever is to come in is added by them.",
    ),
    meaning(
        "bad-request",
        "400",
        "The request is not what the address takes: JSON that cannot be read, a parameter that is unknown or of the \
         wrong kind. The detail says which. Sending it again unchanged brings the same.",
    ),
    meaning(
        "changed-meanwhile",
        "409",
        "Somebody else changed the same thing at the same moment. Nothing of the request was kept: look again, and send it again if it is still wanted.",
    ),
    meaning(
        "channel-closed",
        "409",
        "The channel is no longer in the configuration, or could not be opened. Its history can be read; nothing can \
         be sent through it until it is there again.",
    ),
    meaning(
        "channel-exists",
        "409",
        "There is a channel of this id. Take another id, or change the one that is there.",
    ),
    meaning(
        "channel-in-configuration",
        "409",
        "The channel stands in the configuration file, which the detail names. Change it there and start Deskbell again.",
    ),
    meaning(
        "channel-of-another-connector",
        "409",
        "The id belonged to a channel of another connector, whose history is kept under it. Take another id.",
    ),
    meaning(
        "channel-removed",
        "409",
        "The channel was removed. Add it again under the same id and connector: its history goes on.",
    ),
    meaning(
        "code-needed",
        "401",
        "The password is right, and the account wants a second factor as well. Send the same request again with code: the six digits of the authenticator, or a recovery code.",
    ),
    meaning(
        "credentials",
        "409",
        "The platform does not take the channel's credentials. The detail says what to do; receiving goes on.",
    ),
    meaning(
        "crossed",
        "409",
        "A colleague has answered since the entry that you named as the newest that you saw. Nothing was sent; \
         crossed_by is that answer. Read it and write anew, or send yours all the same with force.",
    ),
    meaning(
        "email-taken",
        "409",
        "Another person of the shop has this e-mail address, perhaps one who is disabled.",
    ),
    meaning(
        "forbidden",
        "403",
        "You are signed in, and this needs a right that your token or session does not have. An administrator can \
         make a token that has it.",
    ),
    meaning(
        "held",
        "409",
        "This desk was restored from a backup, and nothing goes out of it until `deskbell resume` says so.",
    ),
    meaning(
        "hook-gone",
        "409",
        "The request with this Idempotency-Key made a hook that was deleted or has another secret since. Take a new key for a new hook.",
    ),
    meaning(
        "hook-loop",
        "508",
        "The change was caused by a hook that was caused by a change, four times over: the program behind the hook answers to itself. Let it leave out what it did itself.",
    ),
    meaning(
        "hook-of-the-configuration",
        "409",
        "This hook stands in the configuration file and is changed there.",
    ),
    meaning(
        "hook-off",
        "409",
        "The hook is switched off: nothing is told to it. Switch it on first.",
    ),
    meaning(
        "hook-signs-nothing",
        "409",
        "Hooks of this kind have no secret that could be changed.",
    ),
    meaning(
        "idempotency-key-reused",
        "422",
        "The Idempotency-Key was used before for another request. Take a new key for each new thing, and the same key \
         only to repeat the same request.",
    ),
    meaning(
        "incomplete",
        "408",
        "The body ended, or came too slowly, before it was whole. Nothing of it was kept: send it again.",
    ),
    meaning(
        "internal",
        "500",
        "A fault of Deskbell's. Nothing of the request was kept. The log says more, under the id in the header \
         x-request-id: please report it.",
    ),
    meaning(
        "invalid",
        "422",
        "A field does not do. errors[] names each by its JSON pointer and says what it may hold.",
    ),
    meaning(
        "invitation-gone",
        "404, 409",
        "A link by which somebody comes in, or sets a new password, works once and for a day, and a newer one takes its place. Ask an administrator for a new one.",
    ),
    meaning(
        "label-exists",
        "409",
        "There is a label of this name. Change that one, or take another name.",
    ),
    meaning(
        "last-admin",
        "409",
        "There is one administrator left who can sign in, and this would leave none. Make somebody else an administrator first.",
    ),
    meaning(
        "may-have-arrived",
        "409",
        "The platform's answer to this was lost, so that the customer may have it already. Look there before you send it \
         again with confirm.",
    ),
    meaning(
        "method-not-allowed",
        "405",
        "The address exists and does not take this method. The header Allow names those it takes.",
    ),
    meaning(
        "no-catch-up",
        "409",
        "What was missed cannot be fetched for this channel now. The detail says why, and what to do.",
    ),
    meaning(
        "no-session",
        "401, 409",
        "There is no session. A visitor's is over or unknown: begin a new one by POST /chat/{channel}/session. Who came \
         with an API token has none to end.",
    ),
    meaning(
        "no-user",
        "409",
        "This is for people of the shop. A token, or the session of the set-up link, is none.",
    ),
    meaning(
        "not-failed",
        "409",
        "The answer is on its way or has arrived, or it is none of the shop's. Only what failed is sent once more.",
    ),
    meaning(
        "not-found",
        "404",
        "There is no such thing, or you may not know of it: Deskbell does not tell which.",
    ),
    meaning(
        "not-registered",
        "409",
        "The channel cannot be registered at its platform as things stand. The detail says why: mostly public_url is \
         missing, is no https address, or cannot be reached from the internet.",
    ),
    meaning(
        "replay-under-way",
        "409",
        "The hook is being told events again already. Wait until that has ended.",
    ),
    meaning(
        "reply-window-closed",
        "409",
        "The platform lets a shop answer only for some time after the customer's last message, and that time is over. \
         The detail says what can still be done. The customer's next message opens it again.",
    ),
    meaning(
        "ring-over",
        "409",
        "Somebody else has taken the ring, or it has ended: nobody waits there any more. The detail says which. There is \
         nothing left to do.",
    ),
    meaning(
        "sending-unavailable",
        "409",
        "This channel only receives. Answer where the customer wrote.",
    ),
    meaning(
        "shortcut-taken",
        "409",
        "Another canned reply has this shortcut. Take another one, or change that reply.",
    ),
    meaning(
        "taken",
        "409",
        "Somebody else has the conversation than you expected: assignee_id says who. Nothing was changed. To take it from \
         them all the same, name them.",
    ),
    meaning(
        "team-gone",
        "409",
        "The request with this Idempotency-Key made a team that has been deleted since. Take a new key for a new team.",
    ),
    meaning(
        "test-over",
        "409",
        "Another test of the device was begun since. Answer the one that was told last.",
    ),
    meaning(
        "token-revoked",
        "409",
        "The request with this Idempotency-Key made a token that has been revoked since. Take a new key for a new \
         token.",
    ),
    meaning(
        "too-large",
        "413",
        "The body is larger than the address takes. The detail says how much that is.",
    ),
    meaning(
        "too-many",
        "409",
        "There are as many of these as there can be. Remove one first.",
    ),
    meaning(
        "too-many-channels",
        "409",
        "There are as many channels as one Deskbell can have. Remove one first.",
    ),
    meaning(
        "too-many-devices",
        "409",
        "The person has as many devices as there can be. Remove one that is not used first.",
    ),
    meaning(
        "too-many-hooks",
        "409",
        "There are as many hooks as there may be. Delete one that is used no longer.",
    ),
    meaning(
        "too-many-requests",
        "429",
        "More requests, streams or connections than are allowed at once. Wait as many seconds as the header \
         Retry-After says. The section [limits] of the configuration raises some of them.",
    ),
    meaning(
        "too-many-teams",
        "409",
        "There are as many teams as one Deskbell can have. Delete one first.",
    ),
    meaning(
        "two-factor-not-begun",
        "409",
        "It was not begun to set an authenticator up, or longer than ten minutes ago. Begin with POST \
         /api/v1/me/two-factor, and confirm with a code that it shows.",
    ),
    meaning(
        "two-factor-off",
        "409",
        "The account has no second factor, or no longer.",
    ),
    meaning(
        "two-factor-on",
        "409",
        "The account has a second factor. Turn it off first, with a code of it, to set another up.",
    ),
    meaning(
        "unauthorized",
        "401",
        "Nobody is signed in. Send a token as Authorization: Bearer dbk_…, or open the desk by its set-up link.",
    ),
    meaning(
        "unavailable",
        "503",
        "Not now: the daemon is starting or stopping, too many changes wait, or the disk is full or failing. Nothing \
         of the request was kept. Send it again after as many seconds as the header Retry-After says.",
    ),
    meaning(
        "unproven",
        "401",
        "A delivery whose signature is missing or does not match the channel's secret. Nothing of it was kept. Where \
         it is the platform's own: compare the app's secret with the configuration.",
    ),
    meaning(
        "unsupported-media-type",
        "415",
        "The body is of a type that the address does not take. The detail says which it takes.",
    ),
    meaning(
        "user-disabled",
        "409",
        "The person may not sign in. An administrator can enable the account again.",
    ),
    meaning(
        "virus",
        "422",
        "The virus check that the operator set up found a virus in the file. It was not kept, and sending it again brings \
         the same. Have the computer checked that it came from.",
    ),
    meaning(
        "wrong-code",
        "401",
        "The code of the second factor is wrong, was used already, or is too old. Codes change every 30 seconds; a recovery \
         code works once.",
    ),
    meaning(
        "wrong-credentials",
        "401",
        "There is no account with this e-mail address and password, or it may not sign in: Deskbell does not tell which. An \
         administrator can make a link for a new password.",
    ),
    meaning(
        "wrong-pairing-code",
        "409",
        "The code that a companion showed is wrong, was used already, or is older than ten minutes. Make a new one in the desk.",
    ),
];

/// Whether a type of problem is explained. All are.
#[must_use]
pub fn is_explained(name: &str) -> bool {
    MEANINGS.iter().any(|meaning| meaning.name == name)
}

/// The routes.
pub fn router() -> Router<App> {
    Router::new()
        .route("/docs/problems", get(all))
        .route("/docs/problems/{name}", get(one))
}

async fn all(headers: HeaderMap) -> Response {
    page("Problems", MEANINGS.iter(), &headers)
}

async fn one(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let known = MEANINGS.iter().find(|meaning| meaning.name == name);
    let known = known.ok_or_else(|| Problem::not_found("type of problem"))?;
    Ok(page(known.name, std::iter::once(known), &headers))
}

fn page<'a>(
    title: &str,
    meanings: impl Iterator<Item = &'a Meaning>,
    headers: &HeaderMap,
) -> Response {
    let mut text = String::new();
    // Nothing of a request is in the page: what is written here is what stands above.
    for meaning in meanings {
        text.push_str(&format!(
            "<section>\n<h2>{}</h2>\n<p>HTTP {}</p>\n<p>{}</p>\n</section>\n",
            meaning.name, meaning.statuses, meaning.meaning
        ));
    }
    text.push_str(
        "<p><a href=\"/docs/problems\">All problems</a> · <a href=\"/docs\">The API</a></p>\n",
    );
    plain_page(title, &text, headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_explained_once_and_in_order() {
        let names: Vec<_> = MEANINGS.iter().map(|meaning| meaning.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert!(
            MEANINGS
                .iter()
                .all(|meaning| !meaning.meaning.contains('<'))
        );
    }
}
