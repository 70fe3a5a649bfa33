//! Loops of hooks: a hook tells a program, which calls the API, which makes an event, of which the hook tells …
//!
//! Deliveries bear `Deskbell-Hops`, and a program that calls the API because of one passes it on. What the call changes
//! bears the number, and the next delivery one more. A change that four hooks led to is refused (O09).

use axum::extract::Request;
use axum::http::{HeaderName, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;
use crate::writer::with_hops;

/// The header's name.
const HEADER: HeaderName = HeaderName::from_static("deskbell-hops");
/// The most hooks that may lead to a change, one after the other.
const MOST_HOPS: u8 = 3;

/// Lets a request's changes bear the number that it came with.
pub async fn counted(request: Request, next: Next) -> Response {
    let Some(value) = request.headers().get(HEADER) else {
        return next.run(request).await;
    };
    let hops = value
        .to_str()
        .ok()
        .and_then(|text| text.parse::<u32>().ok());
    let hops = hops.map_or(0, |hops| u8::try_from(hops).unwrap_or(u8::MAX));
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if hops > MOST_HOPS && !reads {
        return Problem::new(
            StatusCode::LOOP_DETECTED,
            "hook-loop",
            "Hooks go round in a circle",
            "This change was caused by a hook, which was caused by a hook, and so on. The program behind the hook is to leave out what it did itself.",
        )
        .into_response();
    }
    with_hops(hops, next.run(request)).await
}
