//! What happens around the messages, in a sentence for the agent or the operator.

use deskbell_sdk::text::clean_text;
use deskbell_sdk::{Activity, Alert, Event, Person, Time};
use serde::Serialize;

use super::message::{made_id, metadata};
use super::{PAGE_INBOX_APP, Place, Sides, details, ignored, note, shortened};
use crate::wire::{
    AccountLinking, Optin, Order, OrderedProduct, PolicyEnforcement, Referral, ThreadControl,
};

/// A thread changes hands.
#[derive(Clone, Copy)]
pub(super) enum Handover {
    Passed,
    Taken,
    Requested,
}

/// What all activities share.
pub(super) struct Happened<'a> {
    pub(super) sides: &'a Sides,
    pub(super) at: Time,
    pub(super) place: Place<'a>,
}

impl Happened<'_> {
    /// An activity, where its customer is known. Its id is made of its kind, its time and `telling`: what tells it from
    /// others of the same moment.
    fn activity(
        &self,
        kind: &str,
        text: String,
        opens_window: bool,
        telling: &[&str],
        of: &impl Serialize,
    ) -> Event {
        let Some(id) = self.sides.customer.as_deref() else {
            return ignored(&format!(
                "`{kind}` of somebody whose Messenger id is not known yet"
            ));
        };
        let mut metadata = metadata(self.place);
        note(&mut metadata, kind, details(of));
        Event::Activity(Activity {
            thread: id.to_owned(),
            customer: Person::with_id(id),
            external_id: made_id(kind, id, self.at, telling),
            text: clean_text(&text),
            at: self.at,
            by_customer: opens_window && !self.sides.by_page,
            metadata,
        })
    }

    /// An existing customer came back by a link, an ad or a code. An m.me link and the website plug-in open the reply
    /// window; an ad does so only together with a message.
    pub(super) fn referral(&self, referral: &Referral) -> Event {
        let opens = matches!(
            referral.source.as_deref(),
            Some("SHORTLINK" | "CUSTOMER_CHAT_PLUGIN")
        );
        let telling = [
            text_of(&referral.source),
            text_of(&referral.reference),
            text_of(&referral.ad_id),
        ];
        self.activity("referral", origin(referral), opens, &telling, referral)
    }

    /// An opt-in or, with `is_out`, an opt-out. The plug-ins open the reply window, notifications do not.
    pub(super) fn optin(&self, optin: &Optin, is_out: bool) -> Event {
        let notification = optin.kind.as_deref();
        let status = optin
            .notification_messages_status
            .as_deref()
            .unwrap_or_default();
        let stopped = is_out || status.to_ascii_uppercase().starts_with("STOP");
        let mut text = match notification {
            _ if stopped => "Does not want notifications any more".to_owned(),
            Some("one_time_notif_req") => "Agreed to be notified once".to_owned(),
            Some("notification_messages") => "Agreed to be sent notifications".to_owned(),
            _ => "Opted in by a plug-in on a website".to_owned(),
        };
        quote(&mut text, &optin.title);
        if let Some(reference) = &optin.reference {
            text.push_str(&format!(" (ref: {})", shortened(reference)));
        }
        let opens = notification.is_none() && !stopped;
        let telling = [
            text_of(&optin.kind),
            text_of(&optin.reference),
            text_of(&optin.title),
            text_of(&optin.payload),
            status,
        ];
        let kind = if is_out { "optout" } else { "optin" };
        self.activity(kind, text, opens, &telling, optin)
    }

    /// A customer linked the account at the shop's website, or unlinked it.
    pub(super) fn account_linking(&self, linking: &AccountLinking) -> Event {
        let text = match linking.status.as_deref() {
            Some("linked") => "Linked their account at the shop".to_owned(),
            Some("unlinked") => "Unlinked their account at the shop".to_owned(),
            other => format!(
                "Changed the link to their account at the shop: {}",
                shortened(other.unwrap_or("unknown"))
            ),
        };
        self.activity(
            "account_linking",
            text,
            false,
            &[text_of(&linking.status)],
            &linking.status,
        )
    }

    /// A cart that was sent.
    pub(super) fn order(&self, order: &Order) -> Event {
        let products = order.products.as_deref().unwrap_or_default();
        let lines: Vec<String> = products.iter().map(ordered).collect();
        let mut text = if lines.is_empty() {
            "Sent an order".to_owned()
        } else {
            format!("Sent an order: {}", lines.join(", "))
        };
        quote(&mut text, &order.note);
        let products = lines.join("\n");
        self.activity(
            "order",
            text,
            false,
            &[&products, text_of(&order.note)],
            order,
        )
    }

    /// Another app got the thread, took it or asks for it.
    pub(super) fn handover(&self, control: &ThreadControl, deed: Handover) -> Event {
        let name = |app: &Option<String>| match app.as_deref() {
            None | Some("") => None,
            Some(app) if app == self.place.own_app => Some("Deskbell".to_owned()),
            Some(PAGE_INBOX_APP) => Some("the Page inbox".to_owned()),
            Some(app) => Some(format!("app {}", shortened(app))),
        };
        let to =
            name(&control.new_owner_app_id).unwrap_or_else(|| "nobody in particular".to_owned());
        let from = name(&control.previous_owner_app_id)
            .map_or_else(String::new, |app| format!(" from {app}"));
        let (kind, text) = match deed {
            Handover::Passed => (
                "pass_thread_control",
                format!("The conversation was handed{from} to {to}"),
            ),
            Handover::Taken => (
                "take_thread_control",
                format!("The conversation was taken{from} by {to}"),
            ),
            Handover::Requested => {
                let who = name(&control.requested_owner_app_id)
                    .unwrap_or_else(|| "another app".to_owned());
                (
                    "request_thread_control",
                    format!("The conversation is asked for by {who}"),
                )
            }
        };
        let telling = [
            text_of(&control.previous_owner_app_id),
            text_of(&control.new_owner_app_id),
            text_of(&control.requested_owner_app_id),
        ];
        self.activity(kind, text, false, &telling, control)
    }
}

/// Meta warns the Page or stops its messages.
pub(super) fn policy(policy: &PolicyEnforcement, page: &str) -> Event {
    let (code, happened) = match policy.action.as_deref() {
        Some("warning") => (
            "policy_warning",
            "Meta warned the Page PAGE that it breaks the rules for messages",
        ),
        Some("block") => (
            "policy_block",
            "Meta has blocked the Page PAGE from sending messages",
        ),
        Some("unblock") => (
            "policy_unblock",
            "Meta lets the Page PAGE send messages again",
        ),
        _ => (
            "policy_enforcement",
            "Meta enforces its rules against the Page PAGE",
        ),
    };
    let mut text = happened.replace("PAGE", &shortened(page));
    quote(&mut text, &policy.reason);
    text.push_str(". See the Page's Support Inbox at Facebook.");
    Event::Alert(Alert {
        code: code.to_owned(),
        text: clean_text(&text),
    })
}

fn origin(referral: &Referral) -> String {
    let mut text = match referral.source.as_deref() {
        Some("SHORTLINK") => "Came by a link to the chat (m.me)".to_owned(),
        Some("ADS") => "Came by an ad".to_owned(),
        Some("MESSENGER_CODE") => "Came by the Page's Messenger code".to_owned(),
        Some("CUSTOMER_CHAT_PLUGIN") => "Came by the chat on a website".to_owned(),
        Some(other) => format!("Came by a referral ({})", shortened(other)),
        None => "Came by a referral".to_owned(),
    };
    if let Some(ad) = &referral.ads_context_data {
        quote(&mut text, &ad.ad_title);
    }
    if let Some(reference) = &referral.reference {
        text.push_str(&format!(" (ref: {})", shortened(reference)));
    }
    text
}

fn ordered(product: &OrderedProduct) -> String {
    let name = product
        .name
        .as_deref()
        .or(product.retailer_id.as_deref())
        .or(product.id.as_deref());
    let mut line = match &product.quantity {
        Some(quantity) => format!("{} × ", shortened(quantity)),
        None => String::new(),
    };
    line.push_str(&shortened(name.unwrap_or("a product")));
    if let Some(price) = &product.unit_price {
        line.push_str(&format!(" at {}", shortened(price)));
        if let Some(currency) = &product.currency {
            line.push_str(&format!(" {}", shortened(currency)));
        }
    }
    line
}

/// Adds what somebody wrote, in quotation marks.
fn quote(text: &mut String, said: &Option<String>) {
    let said = said.as_deref().map(clean_text).unwrap_or_default();
    if !said.trim().is_empty() {
        text.push_str(&format!(": “{}”", said.trim()));
    }
}

fn text_of(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}
