//! The API's own description: `/openapi.json`, and `/docs` to read it in a browser, all from this binary.

use std::sync::LazyLock;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Response as Described, ResponseBuilder,
};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::assets::Asset;
use crate::app::App;

/// What the reference page may do: run its own scripts and ask its own daemon. It styles its parts inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const TAGS: &[(&str, &str)] = &[
    (
        "feed",
        "The unified feed: the messages of every channel, newest first.",
    ),
    (
        "conversations",
        "The inbox, and what people of the shop do with a conversation.",
    ),
    (
        "views",
        "Views of the inbox, and how many conversations there are in each.",
    ),
    ("messages", "What was written, and writing."),
    (
        "replies",
        "Canned replies: texts that one uses again and again.",
    ),
    ("labels", "The labels of conversations, and their colours."),
    ("settings", "What the shop has decided for everybody."),
    ("contacts", "The people who write to the shop."),
    ("search", "Finding messages and people again."),
    ("events", "Every change, live."),
    ("channels", "Where messages come from, and how that does."),
    ("bell", "Who was rung, on what, and who took it."),
    (
        "devices",
        "What rings for people: browsers by Web Push, and companions on their desktops.",
    ),
    ("hooks", "Programs that are told what happens."),
    ("attachments", "Files."),
    ("tokens", "API tokens."),
    ("session", "Signing in and out, and who is signed in."),
    ("users", "The people of the shop."),
    ("quarantine", "What could not be understood."),
    (
        "data-deletions",
        "People who asked a platform to be forgotten.",
    ),
    ("exports", "Taking the history away, and in."),
    ("teams", "People who share conversations."),
    ("audit", "Who did what, and whether the log of it is whole."),
];

/// The API as OpenAPI 3.1 describes it, from the code.
#[must_use]
pub fn document() -> OpenApi {
    let mut document = super::resources().into_openapi();
    let problem_refs = Ref::from_schema_name("Problem");
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            tell_problems(path, operation, &problem_refs);
        }
    }
    document
}

/// The document as it is served and kept: pretty, with a line end.
#[must_use]
pub fn text() -> String {
    let mut text = document().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// What the document says before its paths.
pub(super) fn preamble() -> OpenApi {
    let description = "Every customer channel of a small shop in one feed. Lists take `limit` and `cursor` and answer \
                       `data` and `next`; times are RFC 3339 in UTC; errors are problems of RFC 9457.";
    let info = InfoBuilder::new()
        .title("Deskbell")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(description))
        .license(Some(
            utoipa::openapi::info::LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API token, `dbk_…`"))
        .build();
    let cookie = ApiKeyValue::with_description(
        "__Host-deskbell",
        "The session of the desk (`deskbell` where the daemon is reached by plain HTTP)",
    );
    let components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer))
        .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
        .build();
    let tags = TAGS.iter().map(|(name, about)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*about))
            .build()
    });
    let none: [&str; 0] = [];
    OpenApiBuilder::new()
        .info(info.build())
        .components(Some(components))
        .tags(Some(tags.collect::<Vec<_>>()))
        .security(Some([
            SecurityRequirement::new("bearer", none),
            SecurityRequirement::new("cookie", none),
        ]))
        .build()
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// Adds the problems that any request can meet, and says of each problem in which type it comes.
fn tell_problems(path: &str, operation: &mut Operation, problem: &Ref) {
    let mut told = vec![
        ("400", "The request cannot be read"),
        ("401", "Not signed in"),
        ("403", "Not allowed"),
        ("500", "A fault of Deskbell's"),
        (
            "503",
            "Not available right now: try again after `Retry-After` seconds",
        ),
    ];
    if path.contains('{') {
        told.push(("404", "There is none, or you may not see it"));
    }
    if operation.request_body.is_some() {
        told.push(("413", "The body is too large"));
        told.push(("415", "The body is of another type"));
        told.push((
            "422",
            "A field does not do, or the `Idempotency-Key` was used for another request",
        ));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in told {
        responses
            .entry(status.to_owned())
            .or_insert_with(|| RefOr::T(Described::new(description)));
    }
    for (status, response) in responses {
        if !status.starts_with(['4', '5']) {
            continue;
        }
        let RefOr::T(known) = response else { continue };
        let description = match known.description.as_str() {
            "" if status == "429" => "Too many requests: try again after `Retry-After` seconds",
            "" => "A problem",
            known => known,
        };
        let content = ContentBuilder::new().schema(Some(problem.clone())).build();
        let whole = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content);
        *response = RefOr::T(whole.build());
    }
}

/// The routes.
pub fn router() -> Router<App> {
    let page = SwaggerUi::new("/docs").config(Config::from("/openapi.json").validator_url("none"));
    Router::from(page)
        .layer(from_fn(with_policy))
        .route("/openapi.json", get(served))
}

async fn served(headers: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Asset> = LazyLock::new(|| Asset::of(&text()));
    DOCUMENT.response("application/json", &headers)
}

async fn with_policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    response
}
