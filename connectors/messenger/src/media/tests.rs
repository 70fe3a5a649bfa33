//! What is asked of Meta for a file, and what its answers mean.

use deskbell_sdk::testkit::http::{ScriptedHttp, finish};

use super::*;
use crate::send::tests::meta_error;
use crate::tests::channel;

const OLD: &str = "https://scontent.xx.fbcdn.net/v/old.jpg?oe=1";

fn locate(
    platform: &ScriptedHttp,
    source: &Source,
    place: usize,
    expired: bool,
) -> Result<Located, CallError> {
    let channel = channel();
    let media = channel.media().expect("finds files");
    let wanted = Wanted {
        source,
        message: "m_ab/c",
        place,
        external_id: None,
        expired,
    };
    finish(media.locate(platform, wanted)).expect("ends")
}

#[test]
fn a_link_is_used_as_it_is_until_it_is_dead() {
    let platform = ScriptedHttp::unreachable();
    let source = Source::Url(OLD.to_owned());
    let located = locate(&platform, &source, 0, false).expect("as it is");
    assert_eq!(located.url.expose(), OLD);
    assert_eq!(
        located.authorization, None,
        "no token for media servers (M06)"
    );
    assert!(platform.calls().is_empty());
}

#[test]
fn a_dead_link_is_asked_for_anew() {
    let answer = r#"{"id":"m_ab/c","attachments":{"data":[
        {"id":"1","mime_type":"image/jpeg","name":"a","size":3,"image_data":{"width":1,"height":1,"url":"https://scontent.xx.fbcdn.net/new-image"}},
        {"id":"2","mime_type":"video/mp4","video_data":{"url":"https://video.xx.fbcdn.net/new-video"}},
        {"id":"3","mime_type":"audio/mp4","file_url":"https://cdn.fbsbx.com/new-sound"},
        {"id":"4","mime_type":"image/jpeg"},
        {"id":"5","file_url":""}]}}"#;
    let source = Source::Url(OLD.to_owned());
    for (place, url) in [
        (0, Some("https://scontent.xx.fbcdn.net/new-image")),
        (1, Some("https://video.xx.fbcdn.net/new-video")),
        (2, Some("https://cdn.fbsbx.com/new-sound")),
        (3, None),
        (4, None),
        (5, None),
    ] {
        let platform = ScriptedHttp::always(200, answer);
        let located = locate(&platform, &source, place, true);
        match url {
            Some(url) => assert_eq!(located.expect("found").url.expose(), url),
            None => assert!(
                matches!(located, Err(CallError::Refused { .. })),
                "{place}: {located:?}"
            ),
        }
        let calls = platform.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(calls[0].uri().path(), "/v25.0/m_ab%2Fc");
        let query = calls[0].uri().query().expect("a query");
        assert!(
            query.starts_with("fields=attachments&appsecret_proof="),
            "{query}"
        );
    }
    for empty in [
        "{\"id\":\"m_1\"}",
        "{\"attachments\":{}}",
        "{\"attachments\":{\"data\":[]}}",
    ] {
        let platform = ScriptedHttp::always(200, empty);
        let located = locate(&platform, &source, 0, true);
        assert!(matches!(located, Err(CallError::Refused { .. })), "{empty}");
    }
}

#[test]
fn what_meta_refuses_is_told_apart() {
    let source = Source::Url(OLD.to_owned());
    let ended = |status, code, subcode| {
        let platform = ScriptedHttp::answering(move |_| Ok(meta_error(status, code, subcode)));
        locate(&platform, &source, 0, true).expect_err("refused")
    };
    assert!(matches!(ended(400, 100, 33), CallError::Refused { .. }));
    assert!(matches!(
        ended(400, 9_000_001, 0),
        CallError::Refused { .. }
    ));
    assert!(matches!(
        ended(401, 190, 463),
        CallError::Credentials { .. }
    ));
    assert!(matches!(ended(400, 613, 0), CallError::Retry { .. }));
    assert!(matches!(ended(500, 2, 0), CallError::Retry { .. }));
    // It can be granted yet.
    assert!(matches!(ended(403, 10, 0), CallError::Retry { .. }));
    for strange in ["<html>", "[]", "{\"attachments\":\"x\"}", ""] {
        let platform = ScriptedHttp::always(200, strange);
        let ended = locate(&platform, &source, 0, true);
        assert!(
            matches!(ended, Err(CallError::Retry { .. })),
            "{strange}: {ended:?}"
        );
    }
    let platform = ScriptedHttp::always(502, "<html>");
    let ended = locate(&platform, &source, 0, true);
    assert!(matches!(ended, Err(CallError::Retry { .. })));
    let handle = Source::Handle("4711".to_owned());
    let ended = locate(&platform, &handle, 0, false);
    assert!(matches!(ended, Err(CallError::Refused { .. })));
}
