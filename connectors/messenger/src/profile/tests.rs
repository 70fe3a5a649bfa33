//! What is asked of Meta for a person, and what its answers mean.

use deskbell_sdk::testkit::http::{ScriptedHttp, finish};

use super::*;
use crate::send::tests::meta_error;
use crate::tests::channel;

fn look_up(platform: &ScriptedHttp) -> Result<Option<Profile>, CallError> {
    let channel = channel();
    let profiles = channel.profiles().expect("looks people up");
    finish(profiles.profile(platform, "2001")).expect("ends")
}

#[test]
fn a_person_has_the_name_and_picture_that_meta_tells() {
    for (answer, name, picture) in [
        (
            r#"{"id":"2001","name":"Jana Nováková","first_name":"Jana","last_name":"Nováková","profile_pic":"https://platform-lookaside.fbsbx.com/p?psid=2001"}"#,
            Some("Jana Nováková"),
            Some("https://platform-lookaside.fbsbx.com/p?psid=2001"),
        ),
        (
            r#"{"id":"2001","first_name":"Jana","last_name":"Nováková"}"#,
            Some("Jana Nováková"),
            None,
        ),
        (r#"{"id":"2001","first_name":"Jana"}"#, Some("Jana"), None),
        (r#"{"id":"2001","name":" \u202E "}"#, None, None),
        (
            r#"{"id":"2001","profile_pic":"javascript:alert(1)"}"#,
            None,
            None,
        ),
        (r#"{"id":"2001"}"#, None, None),
    ] {
        let platform = ScriptedHttp::always(200, answer);
        let profile = look_up(&platform).expect("told").expect("somebody");
        assert_eq!(profile.name.as_deref(), name, "{answer}");
        let picture = picture.map(|url| Source::Url(url.to_owned()));
        assert_eq!(profile.picture, picture, "{answer}");
        let calls = platform.calls();
        assert_eq!(calls[0].uri().path(), "/v25.0/2001");
        assert!(calls[0].headers()["authorization"].is_sensitive());
    }
}

#[test]
fn people_of_whom_meta_tells_nothing_are_no_error() {
    let ended = |status, code, subcode| {
        look_up(&ScriptedHttp::answering(move |_| {
            Ok(meta_error(status, code, subcode))
        }))
    };
    assert_eq!(ended(400, 100, 2_018_218), Ok(None));
    assert_eq!(ended(400, 100, 2_018_247), Ok(None));
    assert!(matches!(
        ended(400, 100, 33),
        Err(CallError::Refused { .. })
    ));
    assert!(matches!(
        ended(401, 190, 460),
        Err(CallError::Credentials { .. })
    ));
    assert!(matches!(ended(400, 4, 0), Err(CallError::Retry { .. })));
    assert!(matches!(
        look_up(&ScriptedHttp::unreachable()),
        Err(CallError::Retry { .. })
    ));
}
