//! The same request over HTTP/2: what of a case is the request's, and not the spelling of HTTP/1.

use super::case::Case;

/// A request as the fields of an HTTP/2 head, and its body.
pub(super) struct Translated {
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) body: &'static [u8],
}

/// Fields that HTTP/2 has not got, or that say something of HTTP/1's framing.
const OF_HTTP_1: &[&[u8]] = &[
    b"connection",
    b"expect",
    b"keep-alive",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// The request of a case, if it is one well-spelled request whose framing is not what the case is about.
pub(super) fn translated(case: &Case) -> Option<Translated> {
    let [_only] = case.answers else { return None };
    let end = case.bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = (case.bytes.get(..end)?, case.bytes.get(end + 4..)?);
    let mut lines = lines(head)?.into_iter();
    let mut words = lines.next()?.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_path = target.starts_with(b"/") || (method, target) == (b"OPTIONS", b"*");
    if words.next().is_some() || version != b"HTTP/1.1" || method == b"CONNECT" || !is_path {
        return None;
    }
    let (mut host, mut length, mut others) = (None, None, Vec::new());
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = line.get(..colon)?.to_ascii_lowercase();
        let value = line.get(colon + 1..)?.trim_ascii();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.!".contains(byte);
        if name.is_empty() || !name.iter().all(is_name) || OF_HTTP_1.contains(&&*name) {
            return None;
        }
        match &*name {
            b"host" if host.is_some() || value.is_empty() => return None,
            b"host" => host = Some(value),
            b"content-length" if length.is_some() => return None,
            b"content-length" if !value.iter().all(u8::is_ascii_digit) => return None,
            b"content-length" => length = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            _ => others.push((name, value.to_vec())),
        }
    }
    if length.unwrap_or(0) != body.len() {
        return None;
    }
    let mut fields: Vec<(Vec<u8>, Vec<u8>)> = [
        (&b":method"[..], method),
        (b":scheme", b"http"),
        (b":authority", host?),
        (b":path", target),
    ]
    .map(|(name, value)| (name.to_vec(), value.to_vec()))
    .into();
    fields.extend(others);
    Some(Translated { fields, body })
}

/// The lines of a head that end as they should.
fn lines(head: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(rest.get(..end)?);
        rest = rest.get(end + 2..)?;
    }
    lines.push(rest);
    let is_plain = |line: &&[u8]| !line.contains(&b'\r') && !line.contains(&b'\n');
    lines.iter().all(is_plain).then_some(lines)
}

#[test]
fn cases_that_are_about_more_than_spelling_have_an_http2_form() {
    let count = |cases: &[Case]| cases.iter().filter_map(translated).count();
    let (paths, framing) = (count(super::paths::CASES), count(super::framing::CASES));
    println!("{paths} cases of paths and {framing} of framing");
    assert!(paths >= 30 && framing >= 5, "{paths} {framing}");
}
