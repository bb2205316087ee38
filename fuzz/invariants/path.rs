//! A normalised path is in its final spelling and means what the path meant that came; so does a host.

use portcullis::http::{normalise_path, parse_authority};

/// Holds for any bytes.
pub fn check(bytes: &[u8]) {
    check_path(bytes);
    check_authority(bytes);
}

fn check_path(bytes: &[u8]) {
    let mut once = "kept".to_owned();
    let done = normalise_path(bytes, &mut once);
    let once = once.strip_prefix("kept").expect("what stood before stays");
    if done.is_err() {
        assert!(once.is_empty(), "an error appends nothing");
        return;
    }
    assert!(once.starts_with('/') && !once.contains("//"), "{once:?}");
    assert!(once.bytes().all(|byte| byte.is_ascii_graphic()), "{once:?}");
    assert!(!once.contains(['?', '#', '\\']), "{once:?}");
    let mut twice = String::new();
    assert_eq!(normalise_path(once.as_bytes(), &mut twice), Ok(()));
    assert_eq!(once, twice);

    let resolved = meaning(once.as_bytes()).expect("a path below the root");
    assert_eq!(meaning(bytes).as_ref(), Some(&resolved), "{once:?}");
    for segment in &resolved.segments {
        // A reader that decodes once, or drops parameters, finds no other segments in it.
        assert!(
            !segment
                .iter()
                .any(|byte| matches!(byte, b'/' | b'\\') || byte.is_ascii_control()),
            "{once:?}"
        );
        let without_parameters = segment.split(|byte| *byte == b';').next();
        assert!(
            !matches!(without_parameters, Some(b"." | b"..")),
            "{once:?}"
        );
    }
}

/// What a path means to a reader that first decodes every escape of a segment and then resolves the dots.
#[derive(Debug, PartialEq, Eq)]
struct Meaning {
    segments: Vec<Vec<u8>>,
    /// Whether it ends in a slash.
    is_folder: bool,
}

/// `None` for a path that leaves the root.
fn meaning(path: &[u8]) -> Option<Meaning> {
    let mut segments = Vec::new();
    let mut is_folder = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        let segment = decoded(segment);
        is_folder = matches!(&*segment, b"" | b"." | b"..");
        match &*segment {
            b"" | b"." => {}
            b".." => {
                segments.pop()?;
            }
            _ => segments.push(segment),
        }
    }
    Some(Meaning {
        segments,
        is_folder,
    })
}

fn decoded(segment: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        let escape = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let value = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(value.unwrap_or(*byte));
        rest = if value.is_some() { &after[2..] } else { after };
    }
    out
}

fn check_authority(bytes: &[u8]) {
    let mut host = "stale".to_owned();
    let Ok(port) = parse_authority(bytes, &mut host) else {
        assert!(host.is_empty(), "a refused host leaves nothing");
        return;
    };
    assert!(!host.is_empty() && !host.ends_with('.') && port != Some(0));
    assert!(
        host.bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'[' | b']')),
        "{host:?}"
    );
    let again = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let mut same = String::new();
    assert_eq!(parse_authority(again.as_bytes(), &mut same), Ok(port));
    assert_eq!(host, same);
}
