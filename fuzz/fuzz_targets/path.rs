//! A normalised path is in its final spelling: visible ASCII, rooted, without anything a reader could resolve.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::http::{normalise_path, parse_authority};

fuzz_target!(|bytes: &[u8]| {
    let mut once = String::new();
    if normalise_path(bytes, &mut once).is_ok() {
        assert!(once.starts_with('/') && !once.contains("//"));
        assert!(once.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!once.contains(['?', '#', '\\']));
        assert!(
            once.split('/')
                .all(|segment| segment != "." && segment != "..")
        );
        let mut twice = String::new();
        assert_eq!(normalise_path(once.as_bytes(), &mut twice), Ok(()));
        assert_eq!(once, twice);
    } else {
        assert!(once.is_empty());
    }

    let mut host = String::new();
    if let Ok(port) = parse_authority(bytes, &mut host) {
        let again = port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let mut same = String::new();
        assert_eq!(parse_authority(again.as_bytes(), &mut same), Ok(port));
        assert_eq!(host, same);
    }
});
